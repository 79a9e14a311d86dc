"""What all sides get: the same rows as text and as ids, in three orders, and a model that is written once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tunesmith.bench import prepare as module
from tunesmith.bench.job import Job


def test_rows_and_orders(facts: dict[str, Any]) -> None:
    job = Job(**facts["job"])
    assert len(Path(job.records).read_text("utf-8").splitlines()) == 6 == len(job.ids.rows)
    assert facts["tokens"] == [len(ids) for ids, _ in job.ids.rows] and max(facts["tokens"]) <= job.max_length
    assert set(job.ids.orders) == {"tunesmith", "length", "shuffled"}
    assert all(sorted(order) == list(range(6)) for order in job.ids.orders.values())
    together = job.ids.orders["tunesmith"][:3]  # rows of one premise share a batch
    assert {number // 3 for number in together} in ({0}, {1})


def test_a_mistake_is_told_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"dataset": "pairs", "size": "1b", "device": "cpu", "batch_size": None, "steps": 1}
    request |= {"folder": str(tmp_path), "models": str(tmp_path / "models")}
    (tmp_path / "request.json").write_text(json.dumps(request))
    monkeypatch.setattr("sys.argv", ["prepare", str(tmp_path / "request.json")])
    with pytest.raises(SystemExit, match="CUDA GPU only"):
        module.main()
    assert not (tmp_path / "request.result").exists()
