"""granite: a dense MiniCPM as transformers' own GraniteForCausalLM, the same function tensor for tensor."""

from __future__ import annotations

from pathlib import Path

import torch

from .. import forms
from ..folder import Weights, bound, plain_config, size, write_model
from ..merge import merge, published_tensors
from ..readers import Reading, transformers_reading
from ..source import Source, Task, Written

__all__ = ["OPTIONS", "bound", "read", "refusal", "size", "write"]
OPTIONS = ("dtype", "shard_size")


def refusal(source: Source) -> str:
    """Return why the model has no Granite form, or an empty string."""
    return forms.refusal(source, "granite")


def write(out: Written, folder: Path) -> None:
    """Write the folder; vLLM, llama.cpp and any transformers read it without tunesmith."""
    model = merge(out.loaded.model)
    tensors = published_tensors(model)
    if out.source.model_type == "granite":
        form = forms.Form(plain_config(out.source.config, model), tensors)
    else:
        form = forms.granite(model, tensors)
    write_model(out, folder, form.config, Weights(form.tensors, out.dtype, form.factors))


def read(task: Task, device: str) -> Reading:
    """Read the folder with transformers alone."""
    return transformers_reading(Path(task.folder), getattr(torch, task.dtype), device, native=False)
