"""The optimiser inside the backward pass: each parameter is updated as soon as its gradient is there, which then goes.

So the gradients of the whole model never exist at once: 4 bytes a float32 weight less. What needs all of them together,
clipping to a common norm and accumulating over batches, is not possible.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from ..errors import NonFiniteError


class StepInBackward:
    """Steps `optimizer` for one parameter after the other while `model` goes backwards.

    A step of the optimiser passes over parameters without a gradient, and there is only one with: the weights are those
    of a common step at the end, and the state is the same, so either can resume the other.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._optimizer, self._squares = optimizer, 0.0
        self._names = {id(parameter): name for name, parameter in model.named_parameters()}
        self._handles = [
            parameter.register_post_accumulate_grad_hook(self._step)
            for parameter in model.parameters()
            if parameter.requires_grad
        ]

    def take_norm(self) -> float:
        """Return the norm of all gradients since the last call."""
        squares, self._squares = self._squares, 0.0
        return squares**0.5

    def remove(self) -> None:
        """Let the backward pass be as before."""
        for handle in self._handles:
            handle.remove()

    def _step(self, parameter: torch.Tensor) -> None:
        assert parameter.grad is not None  # it was just computed
        norm = float(parameter.grad.float().norm())
        if not norm < float("inf"):
            name = self._names[id(parameter)].removeprefix("model.")
            raise NonFiniteError(
                f"The gradient of {name} is not finite. With training.optimizer_in_backward the tensors behind it are "
                "updated already, so the weights in memory are of no use; the last checkpoint is good. Lower "
                "training.learning_rate, or use another precision."
            )
        self._squares += norm**2
        self._optimizer.step()
        parameter.grad = None
