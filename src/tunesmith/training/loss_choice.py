"""Which code sums the loss of the output matrix: `training.loss`, and the check before another than ours is used."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..edges.liger import liger_sum, load_fused
from ..errors import ConfigError, MachineError
from ..models.family import Head
from ..ops.matrix_loss import Matrix, MatrixSum, chunked_sum, torch_sum
from .arguments import Precision

ROWS, WORDS = 40, 5000
"""Labels and words of the check: several blocks of a kernel."""


def choose_sum(
    name: str, head: Head | None, device: torch.device, precision: Precision
) -> tuple[MatrixSum, str | None]:
    """Return what sums the loss of a head that is one matrix, and a sentence for the user, if there is a choice to tell.

    "auto" is ours: on a CPU torch's own takes as long in chunks of our size (and ten times as long in chunks of its own
    choice); on CUDA nothing has been measured yet. Other heads always take the chunks of `ops/loss.py`.

    Raises:
        ConfigError: another one is asked for, and the head or the precision is not fit for it.
        MachineError: it is not to be had on this machine, or computes something else.
    """
    if name in ("auto", "chunked"):
        return chunked_sum, None
    matrix = None if head is None else head.matrix
    if matrix is None:
        raise ConfigError(
            f"training.loss={name} needs an output head that is one matrix. This model's is more than that (an adapter "
            "or a cap on the logits, quantised, or unknown here): take auto."
        )
    if name == "torch":
        if not hasattr(nn.functional, "linear_cross_entropy"):
            raise MachineError(f"training.loss=torch needs torch 2.13; this is {torch.__version__}. Take auto.")
        if precision.compute != torch.float32:
            raise ConfigError(
                "training.loss=torch keeps its sum in the dtype of the states, and half precision has three digits. Take "
                "auto, or precision: fp32."
            )
        summed: MatrixSum = torch_sum
        what = "torch's linear_cross_entropy"
    else:
        if device.type != "cuda":
            raise MachineError("training.loss=liger is a kernel for CUDA, and this run is on the CPU. Take auto.")
        try:
            summed = liger_sum(load_fused())
        except MachineError as error:
            raise MachineError(f"training.loss=liger: {error}. Or take auto.") from None
        what = "Liger's fused linear cross entropy"
    worst = _difference(summed, matrix, device, precision)
    if not worst <= _bound(precision):
        raise MachineError(
            f"training.loss={name}: {what} differs from the plain form here (by {worst:.2g}, at most "
            f"{_bound(precision):.2g} is allowed), so it is not used. Take auto."
        )
    return summed, f"Loss: {what}; it differs from the plain form by {worst:.2g} at most."


def _bound(precision: Precision) -> float:
    return 1e-5 if precision.compute == torch.float32 else 2e-2


def _difference(summed: MatrixSum, matrix: Matrix, device: torch.device, precision: Precision) -> float:
    """Return the largest relative difference from `chunked_sum` in float32: loss and gradients, with and without weights."""
    own = torch.Generator().manual_seed(0)  # the global random state stays as it is
    weight_VD = matrix.weight_VD.detach()[:WORDS].clone()
    words, width = weight_VD.shape
    hidden_ND = (torch.randn(ROWS, width, generator=own) / matrix.scale).to(device)
    labels_N = torch.randint(words, (ROWS,), generator=own).to(device)
    each_N = torch.rand(ROWS, generator=own).to(device)
    bias_V = None if matrix.bias_V is None else matrix.bias_V.detach()[:WORDS].clone()
    worst = 0.0
    for weights_N in (None, each_N):
        exact = _results(chunked_sum, hidden_ND, labels_N, weights_N, Matrix(weight_VD.float(), bias_V, matrix.scale))
        with torch.autocast(device.type, precision.compute, enabled=precision.compute != torch.float32):
            one = Matrix(weight_VD, bias_V, matrix.scale)
            results = _results(summed, hidden_ND, labels_N, weights_N, one)
        for found, plain in zip(results, exact, strict=True):
            apart = float((found.float() - plain.float()).norm() / plain.float().norm())
            worst = max(worst, math.inf if math.isnan(apart) else apart)
    return worst


def _results(
    summed: MatrixSum, hidden_ND: Tensor, labels_N: Tensor, weights_N: Tensor | None, matrix: Matrix
) -> list[Tensor]:
    """Return the loss, and the gradients of states, matrix and bias."""
    leaves = [one.clone().requires_grad_() for one in (hidden_ND, matrix.weight_VD, matrix.bias_V) if one is not None]
    bias_V = leaves[2] if matrix.bias_V is not None else None
    loss = summed(leaves[0], labels_N, weights_N, Matrix(leaves[1], bias_V, matrix.scale))
    return [loss.detach(), *torch.autograd.grad(loss, leaves)]
