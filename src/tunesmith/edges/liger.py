"""Liger's fused linear cross entropy on CUDA, as a `MatrixSum`: its function is called, nothing is patched.

Arguments: liger-kernel 0.8. With `reduction="none"` older versions sum the gradient of the matrix before the labels'
weights are known, which is wrong; the caller compares before use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import MachineError
from ..ops.matrix_loss import Matrix, MatrixSum

Fused = Callable[..., Any]
"""`LigerFusedLinearCrossEntropyFunction.apply`: (states, matrix, labels, bias, ...) -> a tuple whose first is the loss."""


def load_fused() -> Fused:
    """Import Liger's function, which needs Triton and takes seconds.

    Raises:
        MachineError: it is not installed, or cannot be imported.
    """
    try:
        from liger_kernel.ops import LigerFusedLinearCrossEntropyFunction
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "liger_kernel":
            raise MachineError("liger-kernel is not installed; pip install 'tunesmith[liger]' brings it") from None
        raise MachineError(f"liger-kernel cannot be imported: {error}") from None
    except Exception as error:  # noqa: BLE001 - Triton looks for drivers and compilers while it is imported
        raise MachineError(f"liger-kernel cannot be imported: {type(error).__name__}: {error}") from None
    fused: Fused = LigerFusedLinearCrossEntropyFunction.apply
    return fused


def liger_sum(fused: Fused) -> MatrixSum:
    """Return the sum that `fused` computes, in the dtype of the states, or that of autocast; it sums in float32."""

    def summed(hidden_ND: Tensor, labels_N: Tensor, weights_N: Tensor | None, matrix: Matrix) -> Tensor:
        device = hidden_ND.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_ND.dtype
        with torch.autocast(device, enabled=False):
            loss: Tensor = fused(
                (hidden_ND * matrix.scale).to(dtype),
                matrix.weight_VD.to(dtype),
                labels_N,
                None if matrix.bias_V is None else matrix.bias_V.to(dtype),
                None,  # a weight for each word
                -100,
                0.0,  # of the squared log-sum-exp
                0.0,  # label smoothing
                "sum" if weights_N is None else "none",
                None,  # softcap
                False,  # whether to return the squared log-sum-exp
                torch.float32,
            )[0]
            return loss if weights_N is None else (loss * weights_N).sum()

    return summed
