"""adapter: the PEFT adapter in a folder of its own, with tokenizer, chat template and what was trained in full."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...errors import ConfigError
from ...models.adapter import CONFIG
from ...models.load import load, text_tokenizer
from ...models.trained import FILE, PUBLISHED, write_published
from ...models.weights import IDENTITY
from ..folder import EXACT, write_tokenizer
from ..readers import Reading
from ..source import Source, Task, Written

OPTIONS = ("layout",)
LAYOUTS = ("peft", "published")
_FILES = (CONFIG, "adapter_model.safetensors", "adapter_model.bin", FILE, PUBLISHED, IDENTITY)


def refusal(source: Source) -> str:
    """Return why there is no adapter to write, or an empty string."""
    if source.place.adapter is None:
        return "it is a whole model without an adapter; its target is 'merged'"
    layout = source.settings.layout or LAYOUTS[0]
    if layout not in LAYOUTS:
        raise ConfigError(f"--layout {layout}: known are {', '.join(LAYOUTS)}.")
    if layout == "published" and source.model_type != "minicpmv":
        return "the published layout with a second file is that of MiniCPM-V 2.0; use --layout peft"
    return ""


def write(out: Written, folder: Path) -> None:
    """Write the adapter's files as they are, or in the layout of the published MiniCPM-V 2.0 trainer."""
    adapter = out.source.place.adapter
    assert adapter is not None  # refused before
    if out.source.settings.layout == "published":
        write_published(out.loaded.model, adapter, folder)
        (folder / "README.md").unlink(missing_ok=True)  # a form that PEFT leaves to be filled in
    else:
        for name in _FILES:
            if (adapter / name).is_file():
                shutil.copyfile(adapter / name, folder / name)
                out.tell((folder / name).stat().st_size)
        if (folder / FILE).is_file():
            out.notes.append(f"{FILE} holds what was trained in full: tunesmith reads it, PEFT alone does not.")
    write_tokenizer(out, folder)
    (folder / "generation_config.json").unlink()  # of a model, which this is not


def read(task: Task, device: str) -> Reading:
    """Put the adapter on its base."""
    loaded = load(task.base, adapter=task.folder, dtype=task.dtype, device=device, base="rounded")
    tokenizer = text_tokenizer(loaded.tokenizer)
    return Reading(loaded.model, tokenizer.encode, tokenizer.chat_template, "tunesmith, on the base of the run")


def size(out: Written) -> int:
    """Return the bytes of the adapter's files; in the published layout the parts trained in full are among them."""
    adapter = out.source.place.adapter
    assert adapter is not None
    return sum(file.stat().st_size for file in adapter.iterdir() if file.is_file())


def bound(out: Written) -> float:
    """Return how far logits may be apart: the tensors are the same."""
    return EXACT
