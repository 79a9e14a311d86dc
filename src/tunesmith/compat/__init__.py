"""What was written for the published code of MiniCPM and MiniCPM-V 2.0 runs on the native models: classes and commands.

`MiniCPMVChat` and `img2base64` are those of the published chat.py; `AutoModel`, `AutoModelForCausalLM` and
`AutoTokenizer` take the place of transformers' in the published examples, and give a model with `chat`. The command
`tunesmith finetune` takes that of the published finetune.py. Nothing here runs code from a checkpoint.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .minicpm import MiniCPM as AutoModelForCausalLM
    from .minicpm import MiniCPM as MiniCPM
    from .minicpmv import MiniCPMV as AutoModel
    from .minicpmv import MiniCPMV as MiniCPMV
    from .minicpmv_chat import MiniCPMVChat as MiniCPMVChat
    from .minicpmv_chat import img2base64 as img2base64
    from .published import AutoTokenizer as AutoTokenizer

_HOMES = {
    "AutoModel": ("minicpmv", "MiniCPMV"),
    "AutoModelForCausalLM": ("minicpm", "MiniCPM"),
    "AutoTokenizer": ("published", "AutoTokenizer"),
    "MiniCPM": ("minicpm", "MiniCPM"),
    "MiniCPMV": ("minicpmv", "MiniCPMV"),
    "MiniCPMVChat": ("minicpmv_chat", "MiniCPMVChat"),
    "img2base64": ("minicpmv_chat", "img2base64"),
}

__all__ = [
    "AutoModel",
    "AutoModelForCausalLM",
    "AutoTokenizer",
    "MiniCPM",
    "MiniCPMV",
    "MiniCPMVChat",
    "img2base64",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tunesmith.compat' has no attribute {name!r}")
    module, thing = _HOMES[name]
    return getattr(importlib.import_module(f".{module}", __name__), thing)


def __dir__() -> list[str]:
    return sorted(__all__)
