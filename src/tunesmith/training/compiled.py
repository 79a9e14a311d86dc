"""Compiled layers: torch.compile on each decoder layer of a model, for training steps alone.

Layers of a kind share what is compiled, which is much less than the whole model would be, and any length of a batch
fits it. Where no gradient is recorded (evaluation, self-test, what the result is checked with) the layers stay as they
are: no second compilation, and the numbers that a clean process gets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import TrainerCallback

from ..data.cache import cache_folder
from ..models.weights import one_line
from .objective import Objective

CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""The environment variable that says where torch keeps what it has compiled; by default among temporary files."""


class FirstStep(TrainerCallback):
    """Says how long the first step took, which compiles."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._began: float | None = None
        self._told = False

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock, once: an evaluation before the first step does not count."""
        self._began = time.perf_counter() if self._began is None else self._began

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop it, once."""
        if self._began is not None and not self._told:
            self._say(f"The first step took {time.perf_counter() - self._began:.0f} s, with compiling.")
            self._told = True


def compile_layers(objective: Objective, device: torch.device, say: Callable[[str], None]) -> bool:
    """Let the decoder layers be compiled when they are first trained, and say so; False, and why, where they cannot be."""
    layers = list(getattr(objective.inner.get_decoder(), "layers", ()))
    if not layers:
        say(f"training.compile: {type(objective.inner).__name__} has no list of layers, so nothing is compiled.")
        return False
    folder = os.environ.setdefault(CACHE, str(cache_folder().parent / "compiled"))
    if (fault := _fault(device)) is not None:
        say(f"training.compile: nothing can be compiled on this machine ({fault}), so the run goes on without.")
        return False
    say(
        f"training.compile: {len(layers)} layers are compiled in the first step, which takes a minute or more, and "
        f"again where a batch is of another kind (one row, no padding). Kept for later runs in {folder}."
    )
    if device.type == "cpu":
        say(
            "  On a CPU compiling takes minutes, and was measured to save a tenth to a sixth of a step; see if it pays."
        )
    for layer in layers:
        compile_layer(layer)
    return True


def compile_layer(layer: nn.Module, backend: str | Callable[..., Any] = "inductor") -> None:
    """Let a layer's forward pass be compiled, for batches of any size, while gradients are recorded.

    Not by `layer.compile()`: that would compile once more where none are recorded. Gradient checkpointing is taken over
    from transformers, which does it inside the layer: there a part that cannot be compiled leaves out all of it.
    """
    plain: Any = layer.forward
    train: Any = torch.compile(plain, dynamic=True, backend=backend)
    if getattr(layer, "gradient_checkpointing", False):
        layer.gradient_checkpointing = False  # type: ignore[assignment]
        train = partial(checkpoint, train, use_reentrant=False)

    def forward(*args: Any, **kwargs: Any) -> Any:
        return (train if torch.is_grad_enabled() else plain)(*args, **kwargs)

    layer.forward = forward


def _fault(device: torch.device) -> str | None:
    """Return why nothing can be compiled for this device, or None: a sum is compiled to find out."""
    try:
        torch.compile(_sum)(torch.ones(2, device=device))
    except (RuntimeError, OSError, ImportError) as error:  # also torch's own kinds: no Triton, no C++ compiler, ...
        return one_line(error)
    return None


def _sum(x: Tensor) -> Tensor:
    return x + 1
