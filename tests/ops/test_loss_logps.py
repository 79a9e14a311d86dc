"""The log-probabilities of labels against their definition: the same values, and the same gradient for each of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tunesmith.ops import loss as module
from tunesmith.ops.loss import IGNORE, label_logps


@pytest.mark.parametrize("frozen", [False, True])
def test_values_and_gradients(frozen: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_ROWS", 2)
    monkeypatch.setattr(module, "CHUNK_BYTES", 4 * 11 * 3)
    head = nn.Linear(5, 11).requires_grad_(not frozen)
    labels = torch.randint(0, 11, (3, 7)).masked_fill(torch.rand(3, 7) < 0.3, IGNORE)
    keep = labels[:, 1:] != IGNORE
    upstream = torch.randn(int(keep.sum()))
    found = {}
    for name in ("chunks", "plain"):
        hidden = torch.linspace(-2, 2, 3 * 7 * 5).view(3, 7, 5).requires_grad_()
        head.zero_grad()
        if name == "chunks":
            logps = label_logps(hidden, labels, lambda rows: head(rows / 9))
        else:
            every = head(hidden[:, :-1] / 9).log_softmax(-1)
            logps = every.gather(-1, labels[:, 1:].clamp(min=0)[..., None])[..., 0][keep]
        (logps * upstream).sum().backward()
        found[name] = [logps.detach(), hidden.grad, *(p.grad for p in head.parameters() if not frozen)]
    for one, other in zip(found["chunks"], found["plain"], strict=True):
        torch.testing.assert_close(one, other)


def test_no_label_gives_an_empty_sum_with_a_gradient() -> None:
    hidden, head = torch.ones(1, 3, 4, requires_grad=True), nn.Linear(4, 6)
    logps = label_logps(hidden, torch.full((1, 3), IGNORE), head)
    assert logps.shape == (0,)
    logps.sum().backward()
    assert hidden.grad is not None and not hidden.grad.any()
