"""bitsandbytes' AdamW: built as asked, and a plain message where it is missing."""

from __future__ import annotations

import sys

import pytest
import torch

from tunesmith.edges import bitsandbytes
from tunesmith.edges.bitsandbytes import EightBits
from tunesmith.errors import MachineError


@pytest.mark.parametrize("bits", [8, 32])
def test_a_step_is_adamw(bits: int) -> None:
    """The moments of 8 bits are near enough for the first steps."""
    start, gradient = torch.randn(64, 64), torch.randn(64, 64)
    ours, exact = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    group = {"lr": 1e-2, "weight_decay": 0.1}
    options = {"betas": (0.9, 0.99), "eps": 1e-8}
    optimizers = (
        bitsandbytes.adamw([{"params": [ours], **group}], bits, False, **options),
        torch.optim.AdamW([{"params": [exact], **group}], **options),
    )
    for _ in range(3):
        ours.grad, exact.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (exact - start).abs().mean()
    assert (ours - exact).abs().mean() < (0.05 if bits == 8 else 1e-4) * moved
    assert optimizers[0].state[ours]["state1"].dtype == (torch.uint8 if bits == 8 else torch.float32)


def test_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MachineError, match=r"bitsandbytes, which is not installed.*pip install 'tunesmith\[quant\]'"):
        bitsandbytes.adamw([], 8, False)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MachineError, match="bitsandbytes, which is not installed"):
        EightBits(256)


@pytest.mark.parametrize("signed", [True, False])
def test_numbers_in_8_bits(signed: bool) -> None:
    """Near the largest of their group to a hundredth of it; a group of zeros, and the state of a first step, is zeros."""
    exact = torch.randn(5, 300, generator=torch.Generator().manual_seed(1))
    exact = exact if signed else exact.square()
    packing = EightBits(256)
    codes, scales = packing.pack(exact, signed)
    assert (codes.dtype, codes.shape, scales.shape) == (torch.uint8, exact.shape, (6,))
    again = packing.unpack(codes, scales, signed)
    assert again.dtype == torch.float32 and (again - exact).abs().max() < 0.02 * exact.abs().max()
    nothing = torch.zeros(512)
    assert packing.unpack(*packing.pack(nothing, signed), signed).equal(nothing)
    assert packing.unpack(torch.zeros(512, dtype=torch.uint8), torch.zeros(2), signed).abs().max() == 0
