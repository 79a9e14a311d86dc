"""TRL takes the same rows and comes to the same loss."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest

from tunesmith.bench.job import Job
from tunesmith.bench.sides import trl


def test_the_mean_loss_is_that_of_the_plain_definition(job: Job, facts: dict[str, Any]) -> None:
    import torch

    from tunesmith.models.load import load
    from tunesmith.ops.loss import plain_loss

    with warnings.catch_warnings():  # its own
        warnings.simplefilter("ignore")
        order, steps = trl.train(replace(job, side="trl", model=facts["models"]["granite"], order="length"))
    assert sorted(order) == list(range(len(job.ids.rows)))
    model = load(job.model, dtype=torch.float32).model
    for number, step in enumerate(steps):
        rows = [job.ids.rows[row] for row in order[number * job.batch_size : (number + 1) * job.batch_size]]
        total = sum(
            float(plain_loss(model(torch.tensor([ids])).logits.detach(), torch.tensor([labels])))
            for ids, labels in rows
        )
        labels = sum(label != -100 for _, row in rows for label in row[1:])
        assert step["loss"] == pytest.approx(total / labels, rel=1e-4)
