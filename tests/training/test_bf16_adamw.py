"""bfloat16 weights: the compensation follows float32, rounding at random is unbiased, both can be resumed."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from tunesmith.edges.bitsandbytes import EightBits
from tunesmith.training import bf16_adamw
from tunesmith.training.bf16_adamw import GROUP, Bf16AdamW, rounded_at_random

TARGET = torch.linspace(-2, 2, 4096).view(64, 64)
START = torch.randn(64, 64, generator=torch.Generator().manual_seed(3)).bfloat16()
RATE = 1e-3  # much less than the last digit of most of the weights: plain bfloat16 stands still


def gradient(weight: Tensor, step: int) -> Tensor:
    """The gradient of a squared distance, with noise."""
    noise = torch.randn(64, 64, generator=torch.Generator().manual_seed(step))
    return weight.detach().float() - TARGET + 0.3 * noise


def trained(make: Callable[[list], torch.optim.Optimizer], start: Tensor, steps: int = 200) -> Tensor:
    """The weights after some steps."""
    weight = torch.nn.Parameter(start.clone())
    optimizer = make([{"params": [weight], "lr": RATE, "weight_decay": 0.1}])
    for step in range(steps):
        weight.grad = gradient(weight, step).to(weight.dtype)
        optimizer.step()
    return weight.detach().float()


def test_kahan_follows_float32_and_plain_bfloat16_does_not() -> None:
    exact = trained(torch.optim.AdamW, START.float())
    plain = trained(torch.optim.AdamW, START)
    kahan = trained(lambda groups: Bf16AdamW(groups, "kahan"), START)
    moved = (exact - START.float()).abs().mean()
    near, far = (kahan - exact).abs().mean(), (plain - exact).abs().mean()
    assert moved > 0.05 and far > 0.3 * moved
    assert near < 0.02 * moved and near < far / 20


def test_rounding_at_random_follows_float32_on_average() -> None:
    exact = trained(torch.optim.AdamW, START.float())
    runs = [trained(lambda groups, seed=seed: Bf16AdamW(groups, "stochastic", seed), START) for seed in range(6)]
    moved = (exact - START.float()).abs().mean()
    mean = torch.stack(runs).mean(0)
    assert (mean - exact).abs().mean() < 0.1 * moved
    assert (mean - exact).mean().abs() < 0.005 * moved  # unbiased: the errors of the weights cancel


def test_one_step_is_adamw() -> None:
    """From weights and gradients that bfloat16 holds exactly, one step is AdamW's, rounded once."""
    groups = [{"lr": RATE, "weight_decay": 0.1}]
    exact, ours = torch.nn.Parameter(START.float()), torch.nn.Parameter(START.clone())
    optimizers = (
        torch.optim.AdamW([{"params": [exact], **groups[0]}]),
        Bf16AdamW([{"params": [ours], **groups[0]}], "kahan"),
    )
    exact.grad, ours.grad = TARGET.bfloat16().float(), TARGET.bfloat16()
    for optimizer in optimizers:
        optimizer.step()
    assert ours.detach().equal(exact.detach().bfloat16())
    kept = ours.detach().float() + optimizers[1].state[ours]["compensation"].float()
    torch.testing.assert_close(kept, exact.detach(), atol=0, rtol=2**-16)


def test_rounding_is_unbiased_between_the_two_neighbours() -> None:
    numbers = torch.tensor([1.0, 1.001, -1.001, 3.3e-5, -7.7e3, 0.0, 1.00390625]).repeat(40_000, 1)
    rounded = rounded_at_random(numbers, torch.Generator().manual_seed(1)).float()
    step = 2.0 ** (torch.frexp(numbers[0])[1].float() - 8)  # the distance of two neighbours
    error = (rounded.double().mean(0) - numbers[0].double()).abs()
    assert bool((error <= 0.02 * step).all())
    assert all(len(rounded[:, column].unique()) <= 2 for column in range(7))
    assert rounded[:, 0].unique().tolist() == [1.0] and rounded[:, 5].unique().tolist() == [0.0]


def test_infinity_and_nan_stay() -> None:
    odd = torch.tensor([float("inf"), -float("inf"), float("nan")])
    rounded = rounded_at_random(odd, torch.Generator().manual_seed(0)).float()
    assert rounded[:2].equal(odd[:2]) and rounded[2].isnan()


@pytest.mark.parametrize("rounding", ["kahan", "stochastic"])
def test_resumed_run_ends_with_the_same_bits(rounding: str) -> None:
    whole = torch.nn.Parameter(START.clone())
    first = Bf16AdamW([{"params": [whole], "lr": RATE}], rounding, seed=5)
    kept: list = []
    for step in range(8):
        if step == 5:
            kept = [whole.detach().clone(), copy.deepcopy(first.state_dict())]
        whole.grad = gradient(whole, step).bfloat16()
        first.step()
    again = torch.nn.Parameter(kept[0])
    second = Bf16AdamW([{"params": [again], "lr": 1.0}], rounding, seed=5)
    second.load_state_dict(kept[1])
    for step in range(5, 8):
        again.grad = gradient(again, step).bfloat16()
        second.step()
    assert again.detach().equal(whole.detach())


def test_the_seed_decides() -> None:
    one, two, other = (trained(lambda g, s=s: Bf16AdamW(g, "stochastic", s), START, 3) for s in (1, 1, 2))
    assert one.equal(two) and not one.equal(other)


@pytest.mark.parametrize(("rounding", "bytes_each"), [("kahan", 10), ("stochastic", 4)])
def test_bytes_beside_weight_and_gradient(rounding: str, bytes_each: int) -> None:
    weight = torch.nn.Parameter(START.clone())
    optimizer = Bf16AdamW([{"params": [weight]}], rounding)
    weight.grad = TARGET.bfloat16()
    optimizer.step()
    held = [value for value in optimizer.state[weight].values() if isinstance(value, Tensor)]
    assert sum(value.numel() * value.element_size() for value in held) == bytes_each * weight.numel()


@pytest.mark.parametrize("rounding", ["kahan", "stochastic"])
def test_moments_in_8_bits_follow_float32(rounding: str) -> None:
    exact = trained(torch.optim.AdamW, START.float())
    packed = trained(lambda groups: Bf16AdamW(groups, rounding, packing=EightBits(GROUP)), START)
    moved = (exact - START.float()).abs().mean()
    assert moved > 0.05 and (packed - exact).abs().mean() < 0.15 * moved
    assert (packed - exact).mean().abs() < 0.02 * moved


@pytest.mark.parametrize(("rounding", "bytes_each"), [("kahan", 4), ("stochastic", 2)])
def test_bytes_with_moments_in_8_bits(rounding: str, bytes_each: int) -> None:
    """And a scale for each group; tables keep 16 or 32 bits."""
    matrix, table = torch.nn.Parameter(START.clone()), torch.nn.Parameter(START.clone())
    groups = [{"params": [matrix]}, {"params": [table], "packed": False}]
    optimizer = Bf16AdamW(groups, rounding, packing=EightBits(GROUP))
    matrix.grad, table.grad = TARGET.bfloat16(), TARGET.bfloat16()
    optimizer.step()
    held = [
        sum(
            value.numel() * value.element_size() for value in optimizer.state[one].values() if isinstance(value, Tensor)
        )
        for one in (matrix, table)
    ]
    assert held[0] == bytes_each * 4096 + 2 * 4 * 4096 // GROUP
    assert held[1] == {"kahan": 10, "stochastic": 4}[rounding] * 4096


@pytest.mark.parametrize("shape", [(64, 64), (70, 100), (5000,)])
def test_blocks_change_no_bit_of_moments_in_8_bits(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    for block in (2**30, GROUP * max(1, math.prod(shape[1:]))):
        monkeypatch.setattr(bf16_adamw, "BLOCK", block)
        weight = torch.nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(3)).bfloat16())
        optimizer = Bf16AdamW([{"params": [weight], "lr": RATE}], "kahan", packing=EightBits(GROUP))
        for step in range(3):
            weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(step)).bfloat16()
            optimizer.step()
        state = optimizer.state[weight]
        ended.append([weight.detach(), *(value for value in state.values() if isinstance(value, Tensor))])
    assert ended[0][1].dtype == torch.uint8 and all(a.equal(b) for a, b in zip(*ended, strict=True))


@pytest.mark.parametrize("shape", [(64, 64), (7, 3, 5), (33,), ()])
@pytest.mark.parametrize("rows", [1, 3])
def test_blocks_change_no_bit(shape: tuple[int, ...], rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = torch.randn(shape, generator=torch.Generator().manual_seed(3)).bfloat16()
    ended = []
    for block in (2**30, rows * max(1, math.prod(shape[1:]))):
        monkeypatch.setattr(bf16_adamw, "BLOCK", block)
        weight = torch.nn.Parameter(start.clone())
        optimizer = Bf16AdamW([{"params": [weight], "lr": RATE, "weight_decay": 0.1}], "kahan")
        for step in range(3):
            weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(step)).bfloat16()
            optimizer.step()
        state = optimizer.state[weight]
        ended.append([weight.detach(), *(value for value in state.values() if isinstance(value, Tensor))])
    assert len(ended[0]) == 4 and all(a.equal(b) for a, b in zip(*ended, strict=True))


@pytest.mark.parametrize("rounding", ["kahan", "stochastic"])
def test_float32_copies_are_those_of_a_block(rounding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No tensor of more numbers than a block is made after the first step has made the moments."""
    monkeypatch.setattr(bf16_adamw, "BLOCK", 256)
    weight = torch.nn.Parameter(START.clone())
    optimizer = Bf16AdamW([{"params": [weight], "lr": RATE}], rounding)
    largest = 0

    class Look(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            made = function(*args, **(kwargs or {}))
            known = {one.untyped_storage().data_ptr() for one in args if isinstance(one, Tensor)}
            if isinstance(made, Tensor) and made.untyped_storage().data_ptr() not in known:
                largest = max(largest, made.numel())
            return made

    for step in range(2):
        weight.grad = gradient(weight, step).bfloat16()
        largest = 0
        with Look():
            optimizer.step()
    assert 0 < largest <= 256


def test_float32_weights_are_refused() -> None:
    with pytest.raises(ValueError, match="only bfloat16 parameters"):
        Bf16AdamW([{"params": [torch.nn.Parameter(torch.zeros(2))]}], "kahan")
