"""A job survives its file; rows come in the order that is asked for."""

from __future__ import annotations

from pathlib import Path

from tunesmith.bench.job import Job, Rows


def test_a_job_is_what_was_written(job: Job, tmp_path: Path) -> None:
    job.write(tmp_path / "job.json")
    assert Job.read(tmp_path / "job.json") == job
    assert not job.bf16


def test_columns_follow_the_order() -> None:
    rows = Rows([([1, 2], [-100, 2]), ([3, 4, 5], [3, -100, 5])], 0, {"back": [1, 0]})
    assert rows.columns("back") == {
        "input_ids": [[3, 4, 5], [1, 2]],
        "labels": [[3, -100, 5], [-100, 2]],
        "attention_mask": [[1, 1, 1], [1, 1]],
    }
    assert [rows.labels(number) for number in (0, 1)] == [1, 1]  # nothing predicts a first token
