"""The clock notes steps: those with a loss, from one to the next."""

from __future__ import annotations

import time

from tunesmith.bench.clock import Clock


def test_steps_follow_each_other() -> None:
    clock = Clock()
    begin = time.perf_counter()
    clock.on_train_begin()
    for loss in (2.0, 1.0):
        time.sleep(0.01)
        clock.on_log(logs={"loss": loss, "grad_norm": 0.5})
    clock.on_log(logs={"eval_loss": 3.0})
    took = time.perf_counter() - begin
    assert [step["loss"] for step in clock.steps] == [2.0, 1.0]
    assert all(step["seconds"] >= 0.01 for step in clock.steps)
    assert sum(step["seconds"] for step in clock.steps) <= took
    assert all(step["gradient_norm"] == 0.5 and step["processor_seconds"] >= 0 for step in clock.steps)
