"""The optimiser inside the backward pass: the same weights, and never more than one gradient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tunesmith.errors import NonFiniteError
from tunesmith.training.in_backward import StepInBackward
from tunesmith.training.run import train


def network() -> nn.Sequential:
    """A small network; its last weight is used twice."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 32), nn.Linear(32, 8))
    model[4].weight = model[0].weight
    return model


def loss_of(model: nn.Module, step: int) -> torch.Tensor:
    """The loss of a step."""
    return model(torch.randn(4, 8, generator=torch.Generator().manual_seed(step))).square().sum()


def largest(model: nn.Module) -> tuple[list[int], int]:
    """A list that receives the bytes of all gradients whenever one is computed; and the bytes of all parameters."""
    seen: list[int] = []

    def count(_: torch.Tensor) -> None:
        seen.append(sum(p.grad.numel() * p.grad.element_size() for p in model.parameters() if p.grad is not None))

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(count)
    return seen, sum(p.numel() * p.element_size() for p in model.parameters())


def test_same_weights_and_one_gradient_at_a_time() -> None:
    plain, inside = network(), network()
    seen, total = largest(inside)
    seen_plain, _ = largest(plain)
    one, two = (torch.optim.AdamW(model.parameters(), lr=1e-2) for model in (plain, inside))
    both = ((one, plain), (two, inside))
    steps = StepInBackward(inside, two)
    for step in range(5):
        one.zero_grad()
        loss_of(plain, step).backward()
        norm = nn.utils.get_total_norm([p.grad for p in plain.parameters()])
        one.step()
        loss_of(inside, step).backward()
        assert steps.take_norm() == pytest.approx(float(norm), rel=1e-5) and steps.take_norm() == 0
    assert all(a.equal(b) for a, b in zip(plain.parameters(), inside.parameters(), strict=True))
    assert max(seen_plain) == total
    assert max(seen) == max(p.numel() * p.element_size() for p in inside.parameters()) < total / 2
    assert all(p.grad is None for p in inside.parameters())
    moments = [[o.state[p][key] for p in m.parameters() for key in ("exp_avg", "exp_avg_sq", "step")] for o, m in both]
    assert all(a.equal(b) for a, b in zip(*moments, strict=True))
    steps.remove()
    loss_of(inside, 9).backward()
    assert all(p.grad is not None for p in inside.parameters())


def test_a_gradient_that_is_not_finite() -> None:
    model = network()
    StepInBackward(model, torch.optim.SGD(model.parameters(), lr=0.1))
    model[2].weight.register_hook(lambda gradient: gradient * float("nan"))
    before = model[2].weight.detach().clone()
    with pytest.raises(NonFiniteError, match=r"gradient of 2\.weight is not finite.*last checkpoint is good"):
        loss_of(model, 0).backward()
    assert model[2].weight.detach().equal(before)


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit"])
def test_a_whole_run_ends_with_the_same_weights(optimizer: str, tiny_config: dict, tmp_path: Path) -> None:
    settings = {"max_grad_norm": 0, "optimizer": optimizer, "learning_rate": 1e-3, "steps": 4}
    ended: list[dict[str, torch.Tensor]] = []
    norms: list[Any] = []
    for name, inside in (("plain", False), ("inside", True)):
        training = {**tiny_config["training"], **settings, "optimizer_in_backward": inside}
        train({**tiny_config, "tuning": "full", "training": training, "output": str(tmp_path / name)})
        ended.append(load_file(tmp_path / name / "model" / "model.safetensors"))
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        norms.append([line["grad_norm"] for line in map(json.loads, lines) if "grad_norm" in line])
    assert all(ended[1][name].equal(tensor) for name, tensor in ended[0].items())
    assert norms[1] == pytest.approx(norms[0], rel=1e-4) and len(norms[0]) == 4
