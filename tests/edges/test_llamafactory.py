"""LLaMA-Factory gets rows that are tokenised already, in their order, and our callbacks."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tunesmith.edges.llamafactory import fine_tune
from tunesmith.errors import MachineError


def test_rows_lie_where_it_is_told_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets import load_from_disk

    seen: list[Any] = []
    tuner = ModuleType("llamafactory.train.tuner")
    tuner.run_exp = lambda arguments, callbacks: seen.extend((arguments, callbacks))  # type: ignore[attr-defined]
    for name in ("llamafactory", "llamafactory.train"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "llamafactory.train.tuner", tuner)
    columns = {
        "input_ids": [[1, 2, 3], [4, 5]],
        "labels": [[-100, 2, 3], [-100, 5]],
        "attention_mask": [[1, 1, 1], [1, 1]],
    }
    fine_tune(columns, {"output_dir": str(tmp_path / "run"), "lora_rank": 4}, ["a callback"])
    arguments, callbacks = seen
    assert callbacks == ["a callback"] and arguments["lora_rank"] == 4 and arguments["disable_shuffling"]
    rows = load_from_disk(arguments["tokenized_path"])["train"]
    assert {name: rows[name][:] for name in columns} == columns


def test_who_has_no_llamafactory_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llamafactory", None)
    with pytest.raises(MachineError, match="pip install llamafactory"):
        fine_tune({}, {"output_dir": "nowhere"}, [])
