"""What the tests of the report card share: small runs of the bundled model, with rows held out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from transformers.utils import logging

from tunesmith.report.facts import Facts
from tunesmith.report.heldout import Wanted
from tunesmith.report.run import report
from tunesmith.training.run import train

NAMES = ("Pip", "Mia", "老周", "小雨")
ROWS = [(f"Who looks after room {number}?", f"{NAMES[number % 4]} does, in room {number}.") for number in range(20)]


def _write(file: Path, pairs: Sequence[tuple[str, str]]) -> Path:
    records = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in pairs]
    file.write_text(json.dumps([{"messages": one} for one in records], ensure_ascii=False), encoding="utf-8")
    return file


def _settings(folder: Path, **training: Any) -> dict[str, Any]:
    usual = {"steps": 4, "batch_size": 4, "learning_rate": 1e-3, "report_to": [], "verify": False, "device": "cpu"}
    return {
        "model": "nano-minicpm",
        "output": str(folder / "run"),
        "data": {"train": str(folder / "rows.json"), "validation_share": 0.2, "max_length": 64},
        "tuning": {"method": "lora", "rank": 4, "dropout": 0.1},
        "training": {**usual, **training},
    }


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Let the command quieten transformers for one test only."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)
    logging.enable_progress_bar()


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes questions and answers, `ROWS` if none are given, as records."""
    return lambda name, *pairs: _write(tmp_path / name, pairs or ROWS)


@pytest.fixture
def settings(tmp_path: Path, rows: Callable[..., Path]) -> Callable[..., dict[str, Any]]:
    """Return a function: training settings -> the settings of a run like `trained`, of rows of its own."""
    rows("rows.json")
    return lambda **training: _settings(tmp_path, **training)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four steps, a fifth of its rows held out; copy it before changing it."""
    folder = tmp_path_factory.mktemp("trained")
    _write(folder / "rows.json", ROWS)
    return train(_settings(folder)).folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(trained, tmp_path / "copy"))


@pytest.fixture(scope="session")
def carded(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the finished run, with its report card."""
    folder = Path(shutil.copytree(trained, tmp_path_factory.mktemp("carded") / "run"))
    report(folder, wanted=Wanted(limit=3, max_new_tokens=12, device="cpu"), language="zh")
    return folder


@pytest.fixture
def facts(trained: Path) -> Facts:
    """What the folder of the finished run says."""
    return Facts.read(trained)
