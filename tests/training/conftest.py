"""A tiny training configuration: 16 rows, 8 steps, a few seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

ROWS = [
    (f"say {word} {number}", f"{word} {number} ok") for number in range(4) for word in ("red", "two", "你好", "dry")
]


@pytest.fixture(scope="session")
def tiny_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data file in the published `messages` shape."""
    file = tmp_path_factory.mktemp("rows") / "train.json"
    rows = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in ROWS]
    file.write_text(json.dumps([{"messages": row} for row in rows], ensure_ascii=False), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def other_rows(tiny_rows: Path) -> Path:
    """The same questions with other answers: the better the training rows are learned, the worse these are answered."""
    rows = json.loads(tiny_rows.read_text(encoding="utf-8"))
    for row in rows:
        row["messages"][1]["content"] = "QQQQ ZZZZ XXXX"
    file = tiny_rows.with_name("other.json")
    file.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    return file


@pytest.fixture(scope="session")
def tiny_config(tiny_model_folder: Path, tiny_rows: Path) -> dict[str, Any]:
    """A config without `output`; the round trip and the loggers are left out, as most tests do not need them."""
    return {
        "model": str(tiny_model_folder),
        "data": {"train": str(tiny_rows), "max_length": 64},
        "tuning": {"method": "lora", "rank": 4},
        "training": {
            "steps": 8,
            "save_steps": 2,
            "batch_size": 4,
            "learning_rate": 5e-3,
            "report_to": [],
            "verify": False,
        },
    }
