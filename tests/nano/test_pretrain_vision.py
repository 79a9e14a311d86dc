"""The vision pre-training: a few steps write a whole folder that loads, and a second stage goes on from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.models.minicpmv import MiniCPMVForCausalLM
from tunesmith.nano import VISION_MODEL, look, pretrain_vision, vision_rows

PUBLISHED = {"<image>": 101, "</image>": 102, "<ref>": 103, "<quad>": 107, "</point>": 110, "<slice>": 111}
COMMON = ["--batch-tokens", "256", "--threads", "1", "--looks", "0"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer talks."""
    monkeypatch.setattr(vision_rows, "POOL", 20)
    monkeypatch.setattr(look, "ROWS", 4)
    monkeypatch.setattr(pretrain_vision, "TOKENIZER_TALKS", 300)
    monkeypatch.setattr(pretrain_vision, "TOKENIZER_TEXTS", 1500)


def test_two_steps_write_a_folder_that_loads(tmp_path: Path) -> None:
    pretrain_vision.main([*COMMON, "--out", str(tmp_path), "--steps", "2", "--looks", "1"])
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in VISION_MODEL.iterdir()}
    model, tokenizer = MiniCPMVForCausalLM.from_pretrained(tmp_path), TextTokenizer.load(tmp_path)
    assert model.config.vocab_size == tokenizer.backend.get_vocab_size() == pretrain_vision.VOCABULARY
    assert {token: tokenizer.id(token) for token in PUBLISHED} == PUBLISHED
    assert tokenizer.encode("\n") != tokenizer.encode(" \n") and len(tokenizer.encode("\n")) == 1
    assert tokenizer.decode(tokenizer.encode("龘 a")) == "龘 a"


def test_a_second_stage_goes_on_from_a_folder(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    pretrain_vision.main([*COMMON, "--out", str(first), "--steps", "1"])
    pretrain_vision.main([*COMMON, "--out", str(second), "--start", str(first), "--steps", "0"])
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }
    pretrain_vision.main([*COMMON, "--out", str(second), "--start", str(first), "--steps", "2", "--seed", "1"])
    one, two = (load_file(folder / "model.safetensors") for folder in (first, second))
    changed = {name for name in one if not torch.equal(one[name], two[name])}
    assert "resampler.pos_embed" not in changed
    assert {name.split(".")[0] for name in changed} == {"llm", "vpm", "resampler"}


def test_the_shipped_config_is_the_script_s() -> None:
    config = json.loads((VISION_MODEL / "config.json").read_text(encoding="utf-8"))
    assert {name: config[name] for name in pretrain_vision.SHAPE} == pretrain_vision.SHAPE
    assert config["architectures"] == ["MiniCPMV"] and "auto_map" not in config
