"""What Liger's function is called with, on a stand-in that computes by definition; the kernel itself needs CUDA."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from tunesmith.edges.liger import liger_sum, load_fused
from tunesmith.errors import MachineError
from tunesmith.ops.matrix_loss import Matrix, chunked_sum

NAMES = ("ce_weight", "ignore_index", "lse_square_scale", "label_smoothing", "reduction", "softcap", "return_z_loss",
         "accum_dtype")  # fmt: skip


def stand_in(seen: dict[str, Any]) -> Any:
    """The function with the signature of liger-kernel 0.8."""

    def fused(states: Tensor, matrix: Tensor, target: Tensor, bias: Tensor | None, *more: Any) -> tuple[Tensor, None]:
        seen.update(zip(NAMES, more, strict=True), dtype=states.dtype, autocast=torch.is_autocast_enabled("cpu"))
        logits = linear(states, matrix, bias).float()
        return cross_entropy(logits, target, reduction=seen["reduction"], ignore_index=seen["ignore_index"]), None

    return fused


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_the_same_sum_and_gradients(weighted: bool, bias: bool) -> None:
    seen: dict[str, Any] = {}
    labels, weights = torch.randint(11, (7,)), torch.rand(7) if weighted else None
    leaves = [torch.randn(7, 4), torch.randn(11, 4), torch.randn(11)]
    results = []
    for summed in (liger_sum(stand_in(seen)), chunked_sum):
        hidden, weight, extra = (one.clone().requires_grad_() for one in leaves)
        loss = summed(hidden, labels, weights, Matrix(weight, extra if bias else None, 0.5))
        results.append([loss, *torch.autograd.grad(loss, [hidden, weight, *([extra] if bias else [])])])
    torch.testing.assert_close(results[0], results[1])
    plain = {"ce_weight": None, "lse_square_scale": 0.0, "label_smoothing": 0.0, "softcap": None}
    assert {name: seen[name] for name in plain} == plain
    assert seen["accum_dtype"] == torch.float32 and seen["return_z_loss"] is False


def test_under_autocast_it_is_called_in_that_dtype_and_without_autocast() -> None:
    seen: dict[str, Any] = {}
    with torch.autocast("cpu", torch.bfloat16):
        liger_sum(stand_in(seen))(torch.randn(3, 4), torch.tensor([1, 2, 0]), None, Matrix(torch.randn(5, 4)))
    assert seen["dtype"] == torch.bfloat16 and seen["autocast"] is False


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liger_kernel", None)
    with pytest.raises(MachineError, match=r"pip install 'tunesmith\[liger\]'"):
        load_fused()
