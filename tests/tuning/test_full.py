"""full: everything learns, in float32, and is saved in the published layout."""

from __future__ import annotations

from pathlib import Path

import torch

from tunesmith.models.files import stored_tensors
from tunesmith.models.load import load
from tunesmith.tuning import full


def test_everything_learns_in_float32(tiny_model_folder: Path, tmp_path: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.bfloat16)
    model = full.apply(loaded.model, loaded.family, full.Config())
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert full.save(model, tmp_path) is True
    names = {name for name in stored_tensors(tmp_path)}
    assert names == {name for name in stored_tensors(tiny_model_folder)}


def test_what_the_family_keeps_fixed_does_not_learn(seeing_folder: Path, tmp_path: Path) -> None:
    loaded = load(seeing_folder, dtype=torch.bfloat16, device="cpu")
    model = full.apply(loaded.model, loaded.family, full.Config())
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["resampler.pos_embed"]
    full.save(model, tmp_path)
    assert "resampler.pos_embed" in stored_tensors(tmp_path)


def test_weights_in_bfloat16_alone(tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32, device="cpu")
    model = full.apply(loaded.model, loaded.family, full.Config(master_weights="stochastic"))
    assert all(p.requires_grad and p.dtype == torch.bfloat16 for p in model.parameters())
