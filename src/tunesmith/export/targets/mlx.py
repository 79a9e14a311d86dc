"""mlx: a folder in the form that mlx-lm reads: Granite for a dense MiniCPM. mlx-lm itself runs on Apple's chips alone."""

from __future__ import annotations

from pathlib import Path

from ..source import Source, Written
from . import granite, llama
from .granite import bound, read, size

__all__ = ["OPTIONS", "bound", "read", "refusal", "size", "write"]
OPTIONS = ("dtype", "shard_size")


def refusal(source: Source) -> str:
    """Return why the model cannot be read by mlx-lm, or an empty string."""
    return "" if source.model_type == "llama" else granite.refusal(source)


def write(out: Written, folder: Path) -> None:
    """Write the Granite form; a Llama is written as it is. Not MiniCPM's own: mlx-lm's reader of it errs for tied heads."""
    (llama if out.source.model_type == "llama" else granite).write(out, folder)
    out.notes.append(
        "The folder was read back by transformers, not by mlx-lm. On a Mac: mlx_lm.generate --model FOLDER --prompt ..."
    )
