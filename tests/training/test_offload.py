"""Activations that leave the device: which do, and that the gradients stay the same."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import nn

from tunesmith.models.load import load
from tunesmith.training import offload
from tunesmith.training.objective import Objective
from tunesmith.training.offload import SMALL, Offload

CPU = torch.device("cpu")  # stands for the GPU: what is moved is copied all the same


def gradients(model: nn.Module, inputs: torch.Tensor, *around: Offload) -> list[torch.Tensor]:
    """The gradients of all parameters."""
    model.zero_grad()
    if around:
        with around[0]:
            loss = model(inputs).square().mean()
    else:
        loss = model(inputs).square().mean()
    loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


def test_gradients_are_the_same() -> None:
    model = nn.Sequential(nn.Linear(64, 256), nn.GELU(), nn.Linear(256, 512), nn.Tanh(), nn.Linear(512, 8))
    inputs = torch.randn(512, 64)
    plain, moved = gradients(model, inputs), gradients(model, inputs, Offload(model, CPU))
    assert all(a.equal(b) for a, b in zip(plain, moved, strict=True))


def test_weights_and_small_tensors_stay() -> None:
    wide = nn.Linear(512, 512)
    context = Offload(wide, CPU)
    pack, unpack = context.pack_hook, context.unpack_hook
    large, small = torch.randn(SMALL), torch.randn(SMALL - 1)
    home, away = pack(large)
    assert home == CPU and away.equal(large) and away.data_ptr() != large.data_ptr()
    assert unpack((home, away)).equal(large)
    assert pack(small) is small and unpack(small) is small
    assert wide.weight.numel() >= SMALL and isinstance(pack(wide.weight.t()), torch.Tensor)


def test_what_is_elsewhere_stays() -> None:
    context = Offload(nn.Linear(1, 1), torch.device("cuda"))
    tensor = torch.randn(SMALL)
    assert context.pack_hook(tensor) is tensor


@pytest.mark.parametrize("checkpointing", [False, True])
def test_of_a_whole_model(checkpointing: bool, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "SMALL", 256)  # its activations are tiny
    loaded = load(tiny_model_folder, dtype=torch.float32, device="cpu")
    if checkpointing:
        new = hasattr(loaded.model, "activation_checkpointing_enable")  # transformers 5.23
        name = "activation_checkpointing_enable" if new else "gradient_checkpointing_enable"
        getattr(loaded.model, name)({"use_reentrant": False})
    objective = Objective(loaded.model.train(), loaded.family)
    ids = torch.randint(3, 500, (2, 24))
    found: list[list[torch.Tensor]] = []
    kept: list[object] = []
    moving = Offload(objective, CPU)
    pack = moving.pack_hook
    moving.pack_hook = lambda tensor: kept.append(pack(tensor)) or kept[-1]
    for context in (nullcontext(), moving):
        objective.zero_grad()
        with context:
            loss = objective(ids, torch.ones_like(ids), ids)
        loss.backward()
        found.append([parameter.grad.clone() for parameter in objective.parameters()])
    assert all(a.equal(b) for a, b in zip(*found, strict=True))
    assert any(isinstance(one, tuple) for one in kept)
