"""Golden cases of MiniCPM-V 2.0 as folders like the published one, and the conversations recorded with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VISION = Path(__file__).parents[1] / "golden" / "minicpmv2"


@pytest.fixture(scope="session")
def vision_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a golden case as a model folder with its tokenizer; do not change it."""
    root = tmp_path_factory.mktemp("vision")

    def folder(case: str) -> Path:
        if not (root / case).is_dir():
            shutil.copytree(VISION / "tokenizer", root / case)
            shutil.copyfile(VISION / case / "config.json", root / case / "config.json")
            shutil.copyfile(VISION / case / "weights.safetensors", root / case / "model.safetensors")
        return root / case

    return folder


@pytest.fixture(scope="session")
def golden_runs() -> dict[str, dict[str, Any]]:
    """The runs of the published chat by name; `case` is added, and `picture`: the path of the picture, or None."""
    runs = {}
    for case in ("chat_noslice", "chat_sliced"):
        for run in json.loads((VISION / case / "case.json").read_text(encoding="utf-8"))["runs"]:
            picture = VISION / "pictures" / run["image"] if run["image"] else None
            runs[run["run"]] = {**run, "case": case, "picture": picture}
    return runs
