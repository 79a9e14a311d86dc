"""One measurement in a process: what it found lies beside the job, with peak and versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.bench import child
from tunesmith.bench.job import Job


def test_the_result_lies_beside_the_job(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job.write(tmp_path / "job.json")
    monkeypatch.setattr("sys.argv", ["child", str(tmp_path / "job.json")])
    child.main()
    found = json.loads((tmp_path / "job.result").read_text())
    assert sorted(found["order"]) == list(range(6)) and len(found["steps"]) == 2
    assert found["peak"] > 50 * 2**20 and "torch" in found["versions"]


def test_a_mistake_is_told_without_a_traceback(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Job(**{**vars(job), "model": str(tmp_path / "nowhere")}).write(tmp_path / "job.json")
    monkeypatch.setattr("sys.argv", ["child", str(tmp_path / "job.json")])
    with pytest.raises(SystemExit, match="There is no folder"):
        child.main()
