"""Where a model is: a folder, a bundled model's name, or a model of the hub that was downloaded before."""

from __future__ import annotations

import os
import re
from pathlib import Path

from . import lookup
from .errors import ModelError

_NANO = Path(__file__).parent / "nano"
BUNDLED = {
    "nano-minicpm": _NANO / "minicpm",
    "nano": _NANO / "minicpm",
    "nano-minicpmv": _NANO / "minicpmv",
    "nano-transnormer": _NANO / "transnormer",
}
_CONFIGS = ("config.json", "adapter_config.json")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def locate(name_or_path: str | Path) -> Path:
    """Return the folder of a model, an adapter or a run; the network is never used.

    A bundled model's name goes before a folder of the same name (write `./nano` for that). A name like
    `openbmb/MiniCPM-2B-sft-bf16` that is no folder is looked up in the local caches of Hugging Face and ModelScope.

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
    folder = _of_hugging_face(name) or _of_modelscope(name)
    if folder is None:
        raise ModelError(
            f"There is no folder '{name}'. If it is a model of the Hugging Face hub or of ModelScope, it has not been "
            f"downloaded to this machine: run `tunesmith download {name}`."
        )
    return folder


def _of_hugging_face(name: str) -> Path | None:
    """Return the newest snapshot in the Hugging Face cache, which may lack files that were not wanted."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = [try_to_load_from_cache(name, config) for config in _CONFIGS]
    except HFValidationError:
        return None
    return next((Path(file).parent for file in found if isinstance(file, str)), None)


def _of_modelscope(name: str) -> Path | None:
    """Return a model's folder in ModelScope's cache: today's layout, or one of the two that its client had before 1.38.

    Upper and lower case count as one: openbmb on the one hub is OpenBMB on the other.
    """
    cache = Path(os.environ.get("MODELSCOPE_CACHE") or "~/.cache/modelscope").expanduser()
    for folder in (
        *cache.glob("models/*--*/snapshots/master"),
        *cache.glob("models/*/*"),
        *cache.glob("hub/models/*/*"),
    ):
        called = folder.parts[-3].replace("--", "/", 1) if folder.name == "master" else "/".join(folder.parts[-2:])
        if called.replace("___", ".").lower() == name.lower() and any(
            (folder / config).is_file() for config in _CONFIGS
        ):
            return folder
    return None
