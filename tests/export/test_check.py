"""The comparison: what a reader makes of texts, template and rows; and what a clean process that fails says."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from tunesmith.errors import RoundTripError
from tunesmith.export.check import check_in_clean_process, compare, judged
from tunesmith.export.expected import FACTS, TENSORS
from tunesmith.export.readers import Reading
from tunesmith.export.source import Task
from tunesmith.export.targets import merged


class Constant:
    """A model that gives every token the same logits."""

    def __init__(self, logits: list[float]) -> None:
        self.row = torch.tensor(logits)

    def __call__(self, input_ids: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.row.expand(1, input_ids.shape[1], -1))


@pytest.fixture
def expected(tmp_path: Path) -> Path:
    save_file({"0.input_ids": torch.tensor([[1, 2]]), "0.logits": torch.tensor([[0.0, 4.0]] * 2)}, tmp_path / TENSORS)
    facts = {"rows": 1, "own_rows": 0, "device": "cpu", "questions": [[1]], "answers": [[1] * 12]}
    (tmp_path / FACTS).write_text(json.dumps({**facts, "texts": {"a": [7]}, "chat_template": "t"}), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("logits", "encoded", "template", "faults", "changed"),
    [
        ([0.0, 4.0], [7], "t", [], 0),
        ([0.0, 4.2], [7], "t", [], 0),
        ([0.0, 4.5], [7], "t", ["the logits of row 0 differ by 0.125 of the largest"], 0),
        ([5.0, 4.0], [7], "t", ["the logits of row 0"], 1),
        ([0.0, 4.0], [8], "t", ["the text 'a' becomes other tokens"], 0),
        ([0.0, 4.0], [7], None, ["another chat template"], 0),
    ],
)
def test_compare(
    logits: list[float],
    encoded: list[int],
    template: str | None,
    faults: list[str],
    changed: int,
    expected: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reading = Reading(Constant(logits), lambda text: encoded, template, "a test")
    monkeypatch.setattr(merged, "read", lambda task, device: reading)
    report = compare(Task("x", "merged", "x", "float32", 0.1), expected)
    assert len(report["faults"]) == len(faults) and report["changed_answers"] == changed
    assert all(wanted in fault for wanted, fault in zip(faults, report["faults"], strict=True))
    if faults:
        with pytest.raises(RoundTripError, match="is not what the run computes"):
            judged(report)
    else:
        assert judged(report) is report


def test_unreadable_export_fails(expected: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(RoundTripError, match="cannot be read by a clean process"):
        check_in_clean_process(Task(str(tmp_path), "merged", str(tmp_path), "float32", 0.1), expected)
