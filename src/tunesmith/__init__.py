"""tunesmith: fine-tune small on-device language models and carry them the whole way.

Importing the package is cheap: torch and transformers are imported when a name below is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .errors import TunesmithError as TunesmithError
    from .generate.session import Session as Session
    from .models.load import Loaded as Loaded
    from .models.load import load as load
    from .models.load import load_model as load_model
    from .training.run import train as train

_HOMES = {
    "Loaded": "models.load",
    "Session": "generate.session",
    "TunesmithError": "errors",
    "load": "models.load",
    "load_model": "models.load",
    "train": "training.run",
}

__all__ = ["Loaded", "Session", "TunesmithError", "__version__", "load", "load_model", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunesmith' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
