"""ollama: a GGUF file and a Modelfile with the chat template in Ollama's language, the stop words and the sampling."""

from __future__ import annotations

from pathlib import Path

from ...models.files import read_object
from ...models.load import text_tokenizer
from ..modelfile import frames
from ..source import Written
from . import gguf
from .gguf import OPTIONS, bound, read, read_by_program, refusal, size

__all__ = ["OPTIONS", "bound", "read", "read_by_program", "refusal", "size", "write"]
MODELFILE = "Modelfile"
_SAMPLING = {"temperature": "temperature", "top_p": "top_p", "top_k": "top_k", "repetition_penalty": "repeat_penalty"}


def write(out: Written, folder: Path) -> None:
    """Write model.gguf and the Modelfile; the template is checked first, since the weights take their time.

    Raises:
        ConfigError: the chat template cannot be said in Ollama's language.
    """
    tokenizer = text_tokenizer(out.loaded.tokenizer)
    written = frames(tokenizer)
    chat = out.loaded.family.chat(tokenizer, out.loaded.model.config.to_dict())
    tokens = [tokenizer.added.get(number, "") for number in chat.stop_ids(tokenizer) if number != tokenizer.eos_id]
    stops = [*getattr(chat, "stop_texts", ()), *filter(None, tokens)]
    file = out.source.place.base / "generation_config.json"
    settings = read_object(file) if file.is_file() else {}
    lines = [
        f"FROM ./{gguf.FILE}",
        f'TEMPLATE """{written.template()}"""',
        *(f'PARAMETER stop "{_quoted(stop)}"' for stop in stops),
        *(f"PARAMETER {theirs} {settings[ours]}" for ours, theirs in _SAMPLING.items() if ours in settings),
        f"PARAMETER num_ctx {out.loaded.model.config.max_position_embeddings}",
    ]
    gguf.write(out, folder)
    (folder / MODELFILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    out.notes.append(
        f"To use it: ollama create NAME -f {MODELFILE} (in the folder), then: ollama run NAME. Not run here."
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
