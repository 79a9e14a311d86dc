"""Activations that leave the device: which do and when, when they come back, and that the gradients stay the same.

The CPU stands for the GPU. Its copies are done as late as a stream may do them: when somebody waits for them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tunesmith.models.load import load
from tunesmith.training import offload
from tunesmith.training.checkpointing import compute_again
from tunesmith.training.objective import Objective
from tunesmith.training.offload import AHEAD, LEAVING, SMALL, Moved, Offload


class LateCopies:
    """A stream that does its copies one after the other, none before it is waited for; until then numbers are wrong."""

    def __init__(self, kind: str = "cpu") -> None:
        self.device = torch.device(kind)
        self.jobs: list[Callable[[], object]] = []
        self.done = 0
        self.left: list[Tensor] = []
        self.came: list[Tensor] = []
        self.waiting_out = self.most_out = 0

    def out(self, tensor: Tensor) -> tuple[Tensor, int]:
        away = torch.full_like(tensor, 77)
        self.waiting_out += 1
        self.most_out = max(self.most_out, self.waiting_out)
        self.left.append(away)

        def job() -> None:
            away.copy_(tensor)
            self.waiting_out -= 1

        self.jobs.append(job)
        return away, len(self.jobs)

    def back(self, away: Tensor) -> tuple[Tensor, int]:
        tensor = torch.full_like(away, 99)
        self.came.append(away)
        self.jobs.append(lambda: tensor.copy_(away))
        return tensor, len(self.jobs)

    def wait(self, event: int, copy: Tensor) -> None:
        while self.done < event:
            self.jobs[self.done]()
            self.done += 1


def deep(layers: int = 24) -> nn.Sequential:
    """Layers whose activations are large enough to move; each is kept by two operations."""
    torch.manual_seed(1)
    return nn.Sequential(*(nn.Sequential(nn.Linear(128, 128), nn.Tanh()) for _ in range(layers)))


def gradients(model: nn.Module, inputs: Tensor, around: Offload | None = None, times: int = 1) -> list[Tensor]:
    """The gradients of all parameters."""
    model.zero_grad()
    for _ in range(times):
        if around is None:
            loss = model(inputs).square().mean()
        else:
            with around:
                loss = model(inputs).square().mean()
        loss.backward()
    return [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize("times", [1, 3])
def test_gradients_are_the_same(times: int) -> None:
    model, inputs, copies = deep(), torch.randn(SMALL // 128, 128), LateCopies()
    moving = Offload(model, copies)
    plain = gradients(model, inputs, times=times)
    moved = gradients(model, inputs, moving, times)
    assert all(a.equal(b) for a, b in zip(plain, moved, strict=True))
    assert len(copies.left) == 25 * times  # what two operations keep leaves once
    assert copies.most_out == LEAVING


def test_what_comes_back_and_when() -> None:
    """The last kept first, ahead of the backward pass but not far, and not what has not left."""
    model, copies = deep(), LateCopies()
    moving, asked = Offload(model, copies), []
    unpack = moving.unpack_hook

    def looked(packed: Any) -> Tensor:
        tensor = unpack(packed)
        if isinstance(packed, Moved):
            asked.append((packed.number, len(copies.came)))
        return tensor

    moving.unpack_hook = looked
    with moving:
        loss = model(torch.randn(SMALL // 128, 128)).square().mean()
    assert copies.came == []
    loss.backward()
    left = [id(away) for away in copies.left]
    came = [left.index(id(away)) for away in copies.came]
    number = len(left)
    assert came == list(range(number - LEAVING - 1, -1, -1))  # each once; the last ones had not left
    assert all(fetched <= max(0, number - LEAVING - (asked_for - AHEAD)) for asked_for, fetched in asked)
    assert any(fetched > 0 for asked_for, fetched in asked if asked_for >= number - LEAVING)  # begun before it is due


def test_the_last_layers_stay() -> None:
    model, copies = deep(4), LateCopies()
    inputs = torch.randn(SMALL // 128, 128)
    plain, moved = gradients(model, inputs), gradients(model, inputs, Offload(model, copies, list(model)))
    assert all(a.equal(b) for a, b in zip(plain, moved, strict=True))
    assert len(copies.left) == 4  # the inputs of all four layers, the last one's being kept by the one before


def test_a_graph_can_be_gone_through_twice() -> None:
    model, inputs, copies = deep(), torch.randn(SMALL // 128, 128), LateCopies()
    plain = [2 * one for one in gradients(model, inputs)]
    model.zero_grad()
    with Offload(model, copies):
        loss = model(inputs).square().mean()
    loss.backward(retain_graph=True)
    loss.backward()
    assert all(a.equal(p.grad) for a, p in zip(plain, model.parameters(), strict=True))


def test_two_forward_passes_before_the_backward_pass() -> None:
    model, copies = deep(), LateCopies()
    one, two = torch.randn(2, SMALL // 128, 128)
    expected = [a + b for a, b in zip(gradients(model, one), gradients(model, two), strict=True)]
    model.zero_grad()
    moving = Offload(model, copies)
    losses = []
    for inputs in (one, two):
        with moving:
            losses.append(model(inputs).square().mean())
    for loss in losses:
        loss.backward()
    for a, parameter in zip(expected, model.parameters(), strict=True):
        torch.testing.assert_close(a, parameter.grad)


def test_weights_small_tensors_and_what_is_elsewhere_stay() -> None:
    wide, small, large = nn.Linear(512, 512), torch.randn(SMALL - 1), torch.randn(SMALL)
    moving = Offload(wide, LateCopies())
    with moving:
        assert moving.pack_hook(small) is small and moving.unpack_hook(small) is small
        assert wide.weight.numel() >= SMALL and isinstance(moving.pack_hook(wide.weight.t()), Tensor)
        assert isinstance(moving.pack_hook(large), Moved)
    elsewhere = Offload(wide, LateCopies("cuda"))
    with elsewhere:
        assert elsewhere.pack_hook(large) is large


def test_what_was_changed_in_between_is_kept_twice() -> None:
    moving, tensor = Offload(nn.Linear(1, 1), LateCopies()), torch.zeros(SMALL)
    with moving:
        first = moving.pack_hook(tensor)
        assert moving.pack_hook(tensor) is first and moving.pack_hook(tensor.view(2, -1)) is not first
        tensor += 1
        assert moving.pack_hook(tensor) is not first


@pytest.mark.parametrize("checkpointing", [False, True])
def test_of_a_whole_model(checkpointing: bool, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "SMALL", 256)  # its activations are tiny
    loaded = load(tiny_model_folder, dtype=torch.float32, device="cpu")
    if checkpointing:
        compute_again(loaded.model)
    objective = Objective(loaded.model.train(), loaded.family)
    ids, copies = torch.randint(3, 500, (2, 24)), LateCopies()
    moving = Offload(objective, copies, loaded.model.get_decoder().layers)
    found: list[list[Tensor]] = []
    for offloaded in (False, True, True):
        objective.zero_grad()
        if offloaded:
            with moving:
                loss = objective(ids, torch.ones_like(ids), ids)
        else:
            loss = objective(ids, torch.ones_like(ids), ids)
        loss.backward()
        found.append([parameter.grad.clone() for parameter in objective.parameters()])
    assert all(a.equal(b) and a.equal(c) for a, b, c in zip(*found, strict=True))
    assert len(copies.left) >= 2
