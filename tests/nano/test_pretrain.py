"""The nano pre-training: two steps write a whole folder that loads, and an interrupted run goes on alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.models.minicpm import MiniCPMForCausalLM
from tunesmith.nano import MODEL, pretrain, rows


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer conversations and a smaller model."""
    monkeypatch.setattr(rows, "POOL", 60)
    monkeypatch.setattr(rows, "LONG", 1)
    monkeypatch.setattr(pretrain, "TOKENIZER_TEXTS", 1000)
    for name, value in (("hidden_size", 48), ("intermediate_size", 64), ("num_hidden_layers", 1), ("vocab_size", 5000)):
        monkeypatch.setitem(pretrain.SHAPE, name, value)
    monkeypatch.setattr(pretrain, "VOCABULARY", 5000)


def test_two_steps_write_a_folder_that_loads(tmp_path: Path) -> None:
    pretrain.main(["--out", str(tmp_path), "--steps", "2", "--batch-tokens", "256"])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in MODEL.iterdir()}
    model = MiniCPMForCausalLM.from_pretrained(tmp_path)
    assert model.config.vocab_size == TextTokenizer.load(tmp_path).backend.get_vocab_size()
    assert model.model(torch.tensor([[1, 5, 6]])).last_hidden_state.isfinite().all()


def test_an_interrupted_run_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    common = ["--batch-tokens", "256", "--threads", "1"]
    pretrain.main([*common, "--out", str(whole), "--steps", "4"])
    state = ["--state", str(tmp_path / "state.pt"), "--out", str(halves)]
    real = pretrain.Recipe.factor
    monkeypatch.setattr(pretrain.Recipe, "factor", lambda self, step: real(pretrain.Recipe(steps=4), step))
    for steps in ("2", "4"):
        pretrain.main([*common, *state, "--steps", steps])
    one, two = (load_file(folder / "model.safetensors") for folder in (whole, halves))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_second_stage_goes_on_from_a_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    common = ["--batch-tokens", "256", "--threads", "1"]
    pretrain.main([*common, "--out", str(first), "--steps", "2"])
    pretrain.main([*common, "--out", str(second), "--start", str(first), "--seed", "1", "--slow", "3", "--steps", "0"])
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def test_the_shipped_config_is_the_script_s() -> None:
    config = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["MiniCPMForCausalLM"] and "auto_map" not in config
    assert config["model_type"] == "minicpm" and config["scale_emb"] == 12 and config["scale_depth"] == 1.4
