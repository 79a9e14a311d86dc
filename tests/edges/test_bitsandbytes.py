"""bitsandbytes' AdamW: built as asked, and a plain message where it is missing."""

from __future__ import annotations

import sys

import pytest
import torch

from tunesmith.edges import bitsandbytes
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
