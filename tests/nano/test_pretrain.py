"""The nano pre-training: two steps write a whole folder that loads, and an interrupted run goes on alike."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.models.load import load_model
from tunesmith.nano import pretrain, rows
from tunesmith.nano.blueprints import BLUEPRINTS

SMALL = {
    "minicpm": {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 1},
    "transnormer": {"decoder_embed_dim": 48, "hidden_dim": 48, "glu_dim": 64, "decoder_layers": 2},
}
MORE = {"minicpm": {}, "transnormer": {"linear_use_lrpe_list": [1, 0]}}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer conversations and smaller models."""
    monkeypatch.setattr(rows, "POOL", 60)
    monkeypatch.setattr(rows, "LONG", 1)
    monkeypatch.setattr(pretrain, "TOKENIZER_TEXTS", 1000)
    for family, sizes in SMALL.items():
        for name, value in {**sizes, **MORE[family]}.items():
            monkeypatch.setitem(BLUEPRINTS[family].config, name, value)


@pytest.mark.parametrize("family", BLUEPRINTS)
def test_two_steps_write_a_folder_that_loads(family: str, tmp_path: Path) -> None:
    pretrain.main(["--family", family, "--out", str(tmp_path), "--steps", "2", "--batch-tokens", "256"])
    shipped = BLUEPRINTS[family].folder
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in shipped.iterdir()}
    model = load_model(tmp_path, dtype="float32")
    assert {name: getattr(model.config, name) for name in SMALL[family]} == SMALL[family]
    assert model.config.vocab_size == TextTokenizer.load(tmp_path).backend.get_vocab_size()
    assert model.get_decoder()(torch.tensor([[1, 5, 6]])).last_hidden_state.isfinite().all()
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize("family", BLUEPRINTS)
def test_matrices_begin_smaller_by_the_root_of_the_width_and_learn_slower(family: str) -> None:
    blueprint = BLUEPRINTS[family]
    model, recipe = pretrain.build(family, 0), pretrain.Recipe(blueprint.learning_rate)
    names = {parameter: name for name, parameter in model.named_parameters()}
    others, matrices = pretrain.optimizer_of(model, recipe, blueprint.width).param_groups
    assert {names[one].split(".")[1] for one in matrices["params"]} == {"layers"}
    assert sum(len(group["params"]) for group in (others, matrices)) == len(names)
    assert others["base"] == blueprint.learning_rate == matrices["base"] * blueprint.width
    assert (others["weight_decay"], matrices["weight_decay"]) == (0.0, recipe.weight_decay)
    embedding = model.get_input_embeddings().weight.std()
    spread = torch.cat([parameter.detach().flatten() for parameter in matrices["params"]]).std()
    torch.testing.assert_close(embedding, torch.tensor(blueprint.std), rtol=0.05, atol=0)
    torch.testing.assert_close(spread, torch.tensor(blueprint.std / blueprint.width**0.5), rtol=0.05, atol=0)


def test_an_interrupted_run_ends_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    common = ["--batch-tokens", "256", "--threads", "1"]
    pretrain.main([*common, "--out", str(whole), "--steps", "4"])
    state = ["--state", str(tmp_path / "state.pt"), "--out", str(halves)]
    real = pretrain.Recipe.factor
    monkeypatch.setattr(pretrain.Recipe, "factor", lambda self, step: real(pretrain.Recipe(0.01, steps=4), step))
    for steps in ("2", "4"):
        pretrain.main([*common, *state, "--steps", steps])
    one, two = (load_file(folder / "model.safetensors") for folder in (whole, halves))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("family", BLUEPRINTS)
def test_a_second_stage_goes_on_from_a_folder(family: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    common = ["--family", family, "--batch-tokens", "256", "--threads", "1"]
    pretrain.main([*common, "--out", str(first), "--steps", "2"])
    pretrain.main([*common, "--out", str(second), "--start", str(first), "--seed", "1", "--slow", "3", "--steps", "0"])
    assert {path.name: path.read_bytes() for path in first.iterdir()} == {
        path.name: path.read_bytes() for path in second.iterdir()
    }


def test_an_unknown_family_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        pretrain.main(["--family", "llama"])
    assert "transnormer" in capsys.readouterr().err


def test_written_json_is_the_blueprint_s(tmp_path: Path) -> None:
    blueprint = BLUEPRINTS["transnormer"]
    pretrain.write(pretrain.build("transnormer", 0), blueprint, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text(encoding="utf-8")) == blueprint.config
