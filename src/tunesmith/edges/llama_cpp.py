"""llama_cpp: llama.cpp itself, through llama-cpp-python: what it computes and which ids it gives, from a GGUF file."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from ..errors import ModelError

PACKAGE = "llama_cpp_python"
_F32 = 0
"""GGML_TYPE_F32: the cache of keys and values is not rounded, which would hide what the weights cost."""


def version() -> str | None:
    """Return the version that is installed, or None: it is built from source, so few have it."""
    try:
        return version_of(PACKAGE)
    except PackageNotFoundError:
        return None


class Engine:
    """A file loaded by llama.cpp on the CPU; `context`: the longest row of tokens that it is given."""

    def __init__(self, file: Path, context: int) -> None:
        """Load the file.

        Raises:
            ModelError: llama.cpp cannot read it.
        """
        from llama_cpp import Llama

        settings: dict[str, Any] = {"type_k": _F32, "type_v": _F32, "n_gpu_layers": 0, "verbose": False}
        try:
            self._llama = Llama(
                str(file), n_ctx=context, n_batch=context, n_ubatch=context, logits_all=True, **settings
            )
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"llama.cpp cannot read '{file.name}': {error}") from None

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, special tokens recognised, none added."""
        return list(self._llama.tokenize(text.encode(), add_bos=False, special=True))

    def logits(self, ids: Sequence[int]) -> Any:
        """Return the logits after each token of a row: numpy (T, V), float32."""
        self._llama.reset()
        self._llama.eval(list(ids))
        return self._llama.scores[: len(ids)].copy()

    @property
    def chat_template(self) -> str | None:
        """The chat template that it finds in the file."""
        found: str | None = self._llama.metadata.get("tokenizer.chat_template")
        return found
