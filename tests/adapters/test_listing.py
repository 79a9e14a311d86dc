"""The list: of each adapter what it is and how it stands; what is wrong with one does not hide the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tunesmith.adapters.listing import entries, entry_of
from tunesmith.errors import AdapterError, ModelError
from tunesmith.models.trained import FILE
from tunesmith.models.weights import fingerprint

Make = Callable[..., Path]


def test_an_entry_says_what_it_is(make: Make, run_with: Callable[..., Path], tiny_model_folder: Path) -> None:
    folder = make("a", rank=8, alpha=16, targets=["q_proj", "v_proj"], dora=True)
    save_file({"model.norm.weight": torch.ones(64)}, folder / FILE)
    entry = entry_of(run_with("run", folder, state="finished", verified=True))
    assert (entry.kind, entry.rank, entry.alpha, entry.targets) == ("DoRA", "8", 16.0, ("q_proj", "v_proj"))
    assert (entry.base, entry.here, entry.state) == (str(tiny_model_folder), "same", "verified")
    assert entry.fingerprint == fingerprint(tiny_model_folder) and entry.beside == 64
    assert entry.parameters == 2 * (8 * 64 + 64 * 8 + 64) + 2 * (8 * 64 + 32 * 8 + 32)


def test_folders_of_runs_are_looked_into(make: Make, run_with: Callable[..., Path], tmp_path: Path) -> None:
    run_with("runs/b", make("a"), state="finished", verified=False)
    run_with("runs/a", None, state="interrupted")
    (tmp_path / "runs" / "eval").mkdir()
    found = entries([tmp_path / "runs", tmp_path / "a"])
    assert [(Path(one.name).name, one.state) for one in found] == [("a", ""), ("b", "not verified"), ("a", "no run")]
    assert "its state is 'interrupted'" in found[0].fault


def test_another_base_is_seen(make: Make, other_base: Callable[..., Path], tmp_path: Path) -> None:
    folder = make("a", base=other_base("base"))
    (tmp_path / "base" / "model.safetensors").write_bytes(
        other_base("new", change=True).joinpath("model.safetensors").read_bytes()
    )
    assert entry_of(folder).here == "another one"
    identity = json.loads((folder / "tunesmith.json").read_text("utf-8"))
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    (folder / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "gone"}), "utf-8")
    (folder / "tunesmith.json").write_text(json.dumps({**identity, "base": "gone"}), "utf-8")
    assert entry_of(folder).here == "not here"
    (folder / "tunesmith.json").unlink()
    assert entry_of(folder).here == "not said"


def test_nothing_to_list(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="There is no adapter in"):
        entries([tmp_path])
    with pytest.raises(ModelError, match="There is no folder"):
        entries([tmp_path / "x"])
