"""Where a model is: a folder, a bundled model's name, or a model of the hub that was downloaded before."""

from __future__ import annotations

import re
from pathlib import Path

from . import lookup
from .errors import ModelError

_NANO = Path(__file__).parent / "nano"
BUNDLED = {"nano-minicpm": _NANO / "minicpm", "nano": _NANO / "minicpm", "nano-minicpmv": _NANO / "minicpmv"}
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def locate(name_or_path: str | Path) -> Path:
    """Return the folder of a model, an adapter or a run; the network is never used.

    A bundled model's name goes before a folder of the same name (write `./nano` for that). A name like
    `openbmb/MiniCPM-2B-sft-bf16` that is no folder is looked up in the local Hugging Face cache.

    Raises:
        ModelError: there is no such folder; the message says what can be given instead.
    """
    name = str(name_or_path)
    if name in BUNDLED:
        return _bundled(name)
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ModelError(f"'{path}' is a file. Give the folder that it lies in.")
    if _HUB_ID.fullmatch(name):
        return _downloaded(name)
    raise ModelError(
        f"There is no folder '{name}'{lookup.nearest(name, list(BUNDLED)) or '.'} Give the folder of a model, an "
        f"adapter or a run, or the name of a bundled model: {', '.join(BUNDLED)}."
    )


def _bundled(name: str) -> Path:
    folder = BUNDLED[name]
    if not (folder / "config.json").is_file():
        raise ModelError(f"The bundled model '{name}' is missing from this installation ({folder}). Install it again.")
    return folder


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        local = name.rsplit("/", 1)[-1]
        raise ModelError(
            f"There is no folder '{name}'. If it is a model of the Hugging Face hub, it has not been downloaded to "
            f"this machine: run `hf download {name} --local-dir {local}` (older name: huggingface-cli), then give "
            f"'{local}'."
        ) from None
