"""A linear layer with a low-rank adapter as one step of the graph: x W^T + bias + s (x A^T) B^T, W frozen.

Written as three layers and a sum it makes three more tensors of the output's size, under autocast copies of x in two
dtypes, and casts of W and x that are kept for the backward pass. Here the adapter is added in place, in both
directions, and what is kept is x itself, which its neighbours keep too, and x A^T, which has as few columns as the
adapter has ranks. Source: LoRA, arXiv 2106.09685, equation 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


def lora_linear(
    x: Tensor, weight_OI: Tensor, bias_O: Tensor | None, a_RI: Tensor, b_OR: Tensor, scale: float
) -> Tensor:
    """Return x W^T + bias + scale (x A^T) B^T, (..., O), computed in autocast's dtype, outside of it in that of x.

    x (..., I), the frozen weight_OI and bias_O, the adapter a_RI and b_OR of rank R: floats of any dtypes. Gradients are
    those for x, A and B, each in the dtype of what it belongs to; there is no second derivative.
    """
    kind = x.device.type
    casts = torch.is_autocast_enabled(kind) and x.dtype != torch.float64  # which autocast leaves alone
    dtype = torch.get_autocast_dtype(kind) if casts else x.dtype
    output: Tensor = _LoraLinear.apply(  # type: ignore[no-untyped-call]
        x, weight_OI, bias_O, a_RI, b_OR, scale, dtype
    )
    return output


class _LoraLinear(torch.autograd.Function):
    """`lora_linear` and its first derivative, computed in `dtype`.

    The weights are kept as they are given and cast once more in the backward pass, rather than kept in two dtypes.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_OI: Tensor,
        bias_O: Tensor | None,
        a_RI: Tensor,
        b_OR: Tensor,
        *more: Any,
    ) -> Tensor:
        """Return the output; `more` is scale and dtype."""
        ctx.scale, ctx.dtype = scale, dtype = more
        x_NI = x.reshape(-1, x.shape[-1]).to(dtype)
        h_NR = x_NI @ a_RI.to(dtype).T
        y_NO = linear(x_NI, weight_OI.to(dtype), None if bias_O is None else bias_O.to(dtype))
        y_NO.addmm_(h_NR, b_OR.to(dtype).T, alpha=scale)
        ctx.save_for_backward(x, weight_OI, a_RI, b_OR, h_NR)
        return y_NO.view(*x.shape[:-1], len(weight_OI))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of x, A and B, None for those that nobody asks for."""
        x, weight_OI, a_RI, b_OR, h_NR = ctx.saved_tensors
        for_x, _, _, for_a, for_b, *_ = ctx.needs_input_grad
        dy_NO = dy.reshape(-1, dy.shape[-1])
        dh_NR = (dy_NO @ b_OR.to(ctx.dtype)).mul_(ctx.scale)
        dx = da_RI = db_OR = None
        if for_x:
            dx_NI = (dy_NO @ weight_OI.to(ctx.dtype)).addmm_(dh_NR, a_RI.to(ctx.dtype))
            dx = dx_NI.view(x.shape).to(x.dtype)
        if for_a:
            da_RI = (dh_NR.T @ x.reshape(-1, x.shape[-1]).to(ctx.dtype)).to(a_RI.dtype)
        if for_b:
            db_OR = (dy_NO.T @ h_NR).to(b_OR.dtype).mul_(ctx.scale)
        return dx, None, None, da_RI, db_OR, None, None
