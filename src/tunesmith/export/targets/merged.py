"""merged: the whole model in the published layout, the adapter folded in; read by transformers with tunesmith.models."""

from __future__ import annotations

from pathlib import Path

import torch

from ..folder import Weights, bound, plain_config, size, write_model
from ..merge import merge, published_tensors
from ..readers import Reading, transformers_reading
from ..source import Source, Task, Written

__all__ = ["OPTIONS", "bound", "read", "refusal", "size", "write"]
OPTIONS = ("dtype", "shard_size")


def refusal(source: Source) -> str:
    """Return nothing: every model can be written whole."""
    return ""


def write(out: Written, folder: Path) -> None:
    """Write the model with its published parameter names."""
    model = merge(out.loaded.model)
    config = plain_config(out.source.config, model)
    write_model(out, folder, config, Weights(published_tensors(model), out.dtype))


def read(task: Task, device: str) -> Reading:
    """Read the folder with transformers and the native classes."""
    return transformers_reading(Path(task.folder), getattr(torch, task.dtype), device, native=True)
