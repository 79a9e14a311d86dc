"""Readings of an export in a clean process: what another program computes, reads and writes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import models  # noqa: F401 - registers the native classes
from ..data.tokenizer import CHAT_TEMPLATE
from ..errors import ModelError


@dataclass(frozen=True)
class Reading:
    """An export as it is read: `model(input_ids=...)` has `logits`; `encode` gives the ids of a text, none added.

    `by` says in words who reads.
    """

    model: Any
    encode: Callable[[str], list[int]]
    chat_template: str | None
    by: str


def transformers_reading(folder: Path, dtype: torch.dtype, device: str, native: bool) -> Reading:
    """Read a folder with transformers' Auto classes; `native`: the model's class may be one of tunesmith's.

    Raises:
        ModelError: a class of tunesmith was needed though the folder must do without, or the template is another one.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, __version__

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
    if not native and not type(model).__module__.startswith("transformers."):
        raise ModelError(f"'{folder}' is read by {type(model).__module__}, not by transformers alone.")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    file = folder / CHAT_TEMPLATE
    if file.is_file() and tokenizer.chat_template != file.read_text(encoding="utf-8"):
        raise ModelError(f"'{folder}': transformers reads another chat template than {CHAT_TEMPLATE}.")
    return Reading(
        model.to(device).eval(),
        lambda text: list(tokenizer.encode(text, add_special_tokens=False)),
        tokenizer.chat_template,
        f"transformers {__version__}{' with import tunesmith.models' if native else ''}",
    )
