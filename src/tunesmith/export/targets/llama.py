"""llama: a dense MiniCPM as LlamaForCausalLM, its multipliers folded into the weights: rounded once in a small dtype."""

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
    """Return why the model has no Llama form, or an empty string."""
    return forms.refusal(source, "llama")


def write(out: Written, folder: Path) -> None:
    """Write the folder; whatever reads a Llama reads it."""
    model = merge(out.loaded.model)
    tensors = published_tensors(model)
    if out.source.model_type == "llama":
        form = forms.Form(plain_config(out.source.config, model), tensors)
    else:
        form = forms.llama(model, tensors)
        if out.dtype != torch.float32:
            out.notes.append(
                "Folding rounds the scaled weights: the difference below is its price. The target granite has none."
            )
    write_model(out, folder, form.config, Weights(form.tensors, out.dtype, form.factors))


def read(task: Task, device: str) -> Reading:
    """Read the folder with transformers alone."""
    return transformers_reading(Path(task.folder), getattr(torch, task.dtype), device, native=False)
