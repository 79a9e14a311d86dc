"""Adapters of one base load it once, and answer as if each had been loaded alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tunesmith.errors import ModelError
from tunesmith.eval.lineup import Lineup
from tunesmith.models.load import Loaded, load
from tunesmith.models.trained import FILE
from tunesmith.models.weights import write_adapter_identity
from tunesmith.nano import MODEL

IDS = torch.arange(10, 30)[None]


@torch.no_grad()
def logits(loaded: Loaded) -> torch.Tensor:
    return loaded.model(input_ids=IDS).logits


def test_adapters_and_their_base_share_it(adapters: list[str]) -> None:
    lineup = Lineup(dtype="float32", device="cpu")
    for name in (adapters[0], adapters[1], "nano-minicpm", adapters[0], adapters[0]):
        found = logits(lineup.load(name))
        assert torch.equal(found, logits(load(name, dtype="float32", device="cpu")))
    assert lineup.loads == 1
    assert not torch.equal(logits(lineup.load(adapters[1])), found)


def test_another_base_is_loaded(adapters: list[str]) -> None:
    lineup = Lineup(dtype="float32", device="cpu")
    lineup.load(adapters[0])
    assert lineup.load("nano-transnormer").model.config.model_type == "transnormer"
    assert lineup.loads == 2


def test_what_changed_the_base_in_place_is_not_shared(adapters: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "with-parts"
    shutil.copytree(adapters[0], folder)
    base = load("nano-minicpm", dtype="float32", device="cpu")
    save_file({"model.norm.weight": base.model.get_parameter("model.norm.weight").detach() * 2}, folder / FILE)
    write_adapter_identity(folder, MODEL, "nano-minicpm")
    lineup = Lineup(dtype="float32", device="cpu")
    lineup.load(str(folder))
    assert torch.equal(logits(lineup.load("nano-minicpm")), logits(base))
    assert lineup.loads == 2


def test_the_fingerprint_tells_models_apart(adapters: list[str]) -> None:
    lineup = Lineup(dtype="float32", device="cpu")
    loaded = lineup.load("nano-minicpm")
    prints = {name: lineup.fingerprint(name, loaded) for name in ("nano-minicpm", *adapters)}
    assert len(set(prints.values())) == 3
    loaded.model.to(torch.bfloat16)
    assert lineup.fingerprint("nano-minicpm", loaded) != prints["nano-minicpm"]


def test_what_is_no_model_is_named() -> None:
    with pytest.raises(ModelError, match="nano-minicmp"):
        Lineup().load("nano-minicmp")
