"""The plain recipe computes what tunesmith computes, padded in full or less."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.bench.job import Job
from tunesmith.bench.sides import plain, tunesmith
from tunesmith.bench.sides.plain import Padded, collate_longest


def test_the_same_batches_give_the_same_steps(job: Job, tmp_path: Path) -> None:
    order, steps = plain.train(replace(job, side="plain", output=str(tmp_path / "plain")))
    own_order, own = tunesmith.train(job)
    assert order == own_order
    for name in ("loss", "gradient_norm"):
        assert [step[name] for step in steps] == pytest.approx([step[name] for step in own], rel=1e-4)


def test_rows_are_padded_to_the_maximum_or_to_the_longest(job: Job) -> None:
    rows = Padded(job)
    assert len(rows) == len(job.ids.rows)
    batch = [rows[number] for number in range(3)]
    assert all(len(values) == job.max_length for row in batch for values in row.values())
    longest = max(int(row["attention_mask"].sum()) for row in batch)
    short = collate_longest(batch)
    assert all(values.shape == (3, longest) for values in short.values())
    padding = short["attention_mask"] == 0
    assert (short["labels"][padding] == -100).all() and (short["input_ids"][padding] == job.ids.pad_id).all()
