"""LLaMA-Factory is told the terms of the comparison, with a clock among its callbacks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tunesmith.bench.job import ALPHA, LEARNING_RATE, RANK, Job
from tunesmith.bench.sides import llamafactory


def test_the_terms_are_handed_on(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    def fine_tune(columns: Any, arguments: Any, callbacks: Any) -> None:
        told.extend((columns, arguments))
        callbacks[0].on_log(logs={"loss": 2.0, "grad_norm": 1.0})

    monkeypatch.setattr(llamafactory.llamafactory, "fine_tune", fine_tune)
    order, steps = llamafactory.train(replace(job, side="llamafactory", order="length"))
    assert order == job.ids.orders["length"] and steps[0]["loss"] == 2.0
    assert told[0]["labels"] == [job.ids.rows[number][1] for number in order]
    terms = {"max_steps": job.steps, "learning_rate": LEARNING_RATE, "lora_rank": RANK, "lora_alpha": ALPHA}
    assert terms.items() <= told[1].items()
