"""The loss of a head that is one matrix, written out by hand: one buffer of logits is all that is made.

The general form in `loss.py` leaves a chunk to autograd, which makes three more tensors of its size; here softmax, the
labels and the gradient of the logits are written into the logits themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .loss import at_least_float32, chunk_rows, label_weights, labelled, scaled


@dataclass(frozen=True)
class Matrix:
    """A head that is one matrix: logits_NV = scale * hidden_ND weight_VD^T + bias_V."""

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0

    def frozen(self) -> Matrix:
        """Return it without what could get a gradient."""
        return Matrix(self.weight_VD.detach(), None if self.bias_V is None else self.bias_V.detach(), self.scale)


MatrixSum = Callable[[Tensor, Tensor, Tensor | None, Matrix], Tensor]
"""(hidden_ND, labels_N, weights_N or None, matrix) -> the sum of the cross entropies, float32 or finer; N is not 0."""


def matrix_loss(
    hidden_BTD: Tensor,
    labels_BT: Tensor,
    matrix: Matrix,
    summed: MatrixSum,
    weights_BT: Tensor | None = None,
    places_BT: Tensor | None = None,
) -> Tensor:
    """Return what `loss.label_loss` returns, computed by `summed`; where nothing learns, no gradient is computed."""
    hidden_ND, labels_N = labelled(hidden_BTD, labels_BT, places_BT)
    if not torch.is_grad_enabled():
        hidden_ND, matrix = hidden_ND.detach(), matrix.frozen()
    # without labels there is nothing to hand to a kernel; all that learns gets a gradient of zeros
    return (summed if len(labels_N) else chunked_sum)(hidden_ND, labels_N, label_weights(labels_BT, weights_BT), matrix)


def chunked_sum(hidden_ND: Tensor, labels_N: Tensor, weights_N: Tensor | None, matrix: Matrix) -> Tensor:
    """Sum chunk by chunk (a `MatrixSum`): any device, any dtype, no labels too. Matrices are multiplied as autocast says."""
    total: Tensor = _Chunks.apply(  # type: ignore[no-untyped-call]
        hidden_ND, matrix.weight_VD, matrix.bias_V, matrix.scale, (labels_N, weights_N)
    )
    return total


def torch_sum(hidden_ND: Tensor, labels_N: Tensor, weights_N: Tensor | None, matrix: Matrix) -> Tensor:
    """Sum with torch's own `linear_cross_entropy` (a `MatrixSum`), which torch 2.13 brought.

    In chunks of our size: its own choice is ten times slower on a CPU. For float32 and finer, as the sum is of the dtype
    of the states. With weights it computes the logits once more in the backward pass.
    """
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=chunk_rows(len(matrix.weight_VD)), chunking_method=None)
    loss: Tensor = nn.functional.linear_cross_entropy(
        hidden_ND * matrix.scale,
        matrix.weight_VD,
        labels_N,
        linear_bias=matrix.bias_V,
        reduction="sum" if weights_N is None else "none",
        options=options,
    )
    return loss if weights_N is None else (loss * weights_N).sum()


class _Chunks(torch.autograd.Function):
    """Cross entropy summed over chunks; forward takes the gradients with it, backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        scale: float,
        wanted: tuple[Tensor, Tensor | None],
    ) -> Tensor:
        """Return the sum; keep its gradients with respect to hidden states, matrix and bias, where they are needed.

        `wanted`: the labels (N,) and their weights (N,) or None.
        """
        labels_N, weights_N = wanted
        device = hidden_ND.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_ND.dtype
        with torch.autocast(device, enabled=False):
            states_ND, matrix_VD = (hidden_ND * scale).to(dtype), weight_VD.to(dtype)
            needs = ctx.needs_input_grad[:3]
            # Summed over many chunks: bfloat16 would lose the small ones.
            kept = [
                torch.empty_like(states_ND) if needs[0] else None,
                at_least_float32(torch.zeros_like(weight_VD)) if needs[1] else None,
                at_least_float32(torch.zeros_like(bias_V)) if bias_V is not None and needs[2] else None,
            ]
            rows, total = chunk_rows(len(weight_VD)), at_least_float32(hidden_ND.new_zeros(()))
            buffer = states_ND.new_empty(min(rows, len(states_ND)), len(matrix_VD))
            for start in range(0, len(states_ND), rows):
                piece = slice(start, start + rows)
                states = states_ND[piece]
                logits = torch.mm(states, matrix_VD.T, out=buffer[: len(states)])
                if bias_V is not None:
                    logits += bias_V.to(dtype)
                total += _into_gradient(logits, labels_N[piece], None if weights_N is None else weights_N[piece])
                if kept[0] is not None:
                    torch.mm(logits, matrix_VD, out=kept[0][piece])
                if kept[1] is not None and kept[1].dtype == dtype:
                    kept[1].addmm_(logits.T, states)
                elif kept[1] is not None:
                    kept[1] += logits.T @ states
                if kept[2] is not None:
                    kept[2] += logits.sum(0, dtype=kept[2].dtype)
        ctx.save_for_backward(*kept)
        ctx.scale, ctx.dtypes = scale, [x.dtype if x is not None else None for x in (hidden_ND, weight_VD, bias_V)]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Any:
        """Return the kept gradients times `upstream`: those of the matrix in place, it may be a large one."""
        hidden_grad, *others = ctx.saved_tensors
        first = None if hidden_grad is None else scaled(hidden_grad, upstream * ctx.scale).to(ctx.dtypes[0])
        rest = [
            None if grad is None else grad.mul_(upstream).to(dtype)
            for grad, dtype in zip(others, ctx.dtypes[1:], strict=True)
        ]
        return (first, *rest, None, None)


def _into_gradient(logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor | None) -> Tensor:
    """Return the sum of the cross entropies; overwrite the logits with its gradient with respect to them.

    The gradient is (softmax - one at the label) times the label's weight, computed in float32 or finer.
    """
    labels_N1 = labels_N[:, None]
    exact_NV = at_least_float32(logits_NV)
    exact_NV.sub_(exact_NV.amax(1, keepdim=True))
    chosen_N1 = exact_NV.gather(1, labels_N1)
    sums_N1 = exact_NV.exp_().sum(1, keepdim=True)
    losses_N1 = sums_N1.log() - chosen_N1
    exact_NV.scatter_(1, labels_N1, chosen_N1.exp() - sums_N1)
    factors_N1 = sums_N1.reciprocal()
    if weights_N is not None:
        losses_N1, factors_N1 = losses_N1 * weights_N[:, None], factors_N1 * weights_N[:, None]
    torch.mul(exact_NV, factors_N1, out=logits_NV)
    return losses_N1.sum()
