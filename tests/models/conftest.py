"""Golden cases as model folders, and what the model tests share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpm"


@pytest.fixture(scope="session")
def golden_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a golden case as a model folder in the published layout; do not change it."""
    root = tmp_path_factory.mktemp("golden")

    def folder(case: str) -> Path:
        if not (root / case).is_dir():
            (root / case).mkdir()
            shutil.copyfile(GOLDEN / case / "config.json", root / case / "config.json")
            shutil.copyfile(GOLDEN / case / "weights.safetensors", root / case / "model.safetensors")
        return root / case

    return folder


@pytest.fixture(scope="session")
def golden_vectors() -> Callable[[str], dict[str, Tensor]]:
    """Return a function that gives the recorded numbers of a golden case."""
    return lambda case: load_file(GOLDEN / case / "vectors.safetensors")
