"""Signals, metrics on disk, and what the terminal shows."""

from __future__ import annotations

import io
import json
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace as Facts
from typing import Any

import pytest
from rich.console import Console

from tunesmith.runs import RunFolder
from tunesmith.training.callbacks import Flow, Metrics, Progress, Screen, StopSignal, peak_memory
from tunesmith.training.distributed.ranks import Ranks

LOG = {"loss": 1.25, "learning_rate": 2e-4, "grad_norm": 0.5, "epoch": 0.5}


def test_first_signal_is_remembered_and_the_second_ends() -> None:
    said: list[str] = []
    stop = StopSignal(said.append)
    before = signal.getsignal(signal.SIGTERM)
    with stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM and "SIGTERM: saving at the next optimiser step" in said[0]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


def test_flow_stops_at_the_boundary_of_a_step() -> None:
    stop, progress = StopSignal(print), Progress()
    control = Facts(should_save=False, should_training_stop=False, should_evaluate=False)
    flow = Flow(stop, progress)
    flow.on_step_end(Facts(eval_strategy="no"), Facts(global_step=3, max_steps=8), control)
    assert progress.step == 3 and not control.should_save
    stop.number = signal.SIGINT
    flow.on_step_end(Facts(eval_strategy="no"), Facts(global_step=4, max_steps=8), control)
    assert control.should_save and control.should_training_stop and not control.should_evaluate
    flow.on_step_end(Facts(eval_strategy="steps"), Facts(global_step=8, max_steps=8), control)
    assert control.should_evaluate


@pytest.fixture
def metrics(tmp_path: Path) -> Metrics:
    """Metrics of a trainer that has seen tokens."""
    trainer: Any = Facts(tokens_seen=1000, ranks=Ranks(), waits=Facts(seconds=0.0), order=None)
    return Metrics(RunFolder(tmp_path), trainer, Progress())


def test_metrics_are_one_line_a_step(metrics: Metrics) -> None:
    metrics.on_log(None, Facts(global_step=1), None, logs=dict(LOG))
    metrics.on_log(None, Facts(global_step=1), None, logs={"eval_loss": 2.0, "epoch": 0.5})
    metrics.on_log(None, Facts(global_step=1), None, logs={"train_runtime": 3.0})  # HF's summary is not a step
    lines = [json.loads(line) for line in metrics.run.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 1]
    assert lines[0]["loss"] == 1.25 and lines[0]["tokens_per_second"] > 0 and lines[0]["peak_memory"] > 2**20
    assert lines[1] == {"step": 1, "eval_loss": 2.0, "epoch": 0.5}
    assert metrics.progress.loss == 1.25 and lines[0]["wait_share"] == 0
    assert peak_memory() > 2**20


@pytest.mark.parametrize("terminal", [True, False])
def test_waiting_for_data_is_shown_with_what_to_do(terminal: bool, metrics: Metrics) -> None:
    target = io.StringIO()
    screen = Screen(Console(file=target, force_terminal=terminal, width=80), metrics)
    args, state = Facts(max_steps=2), Facts(global_step=0, max_steps=2)
    screen.on_train_begin(args, state, None)
    for order, setting in ((None, "data.processes"), (object(), "training.workers")):
        metrics.trainer.order = order
        metrics.trainer.waits.seconds += 0.5 * (time.perf_counter() - metrics._mark[0])
        state.global_step += 1
        metrics.on_log(args, state, None, logs=dict(LOG))
        assert 0.2 < metrics.last["wait_share"] <= 0.5
        screen._printed = -10.0
        screen.on_log(args, state, None, logs=dict(LOG))
        assert f"waits for data; raise {setting}" in screen._advice()[0]
    screen.on_train_end(args, state, None)
    assert "of the time waits for data; raise training.workers" in target.getvalue()
    metrics.last["wait_share"] = 0.05
    assert screen._advice() == []


@pytest.mark.parametrize("terminal", [True, False])
def test_screen(terminal: bool, metrics: Metrics) -> None:
    target = io.StringIO()
    console = Console(file=target, force_terminal=terminal, width=80)
    screen = Screen(console, metrics)
    args, state = Facts(max_steps=10), Facts(global_step=0, max_steps=0)
    metrics.on_log(args, state, None, logs={"eval_loss": 3.5})
    screen.on_log(args, state, None, logs={"eval_loss": 3.5})  # evaluation comes before the training begins
    state.max_steps = 10
    screen.on_train_begin(args, state, None)
    for step in (1, 10):
        state.global_step = step
        metrics.on_log(args, state, None, logs=dict(LOG))
        screen.on_step_end(args, state, None)
        screen.on_log(args, state, None, logs=dict(LOG))
    screen.on_log(args, state, None, logs={"train_runtime": 1.0})
    screen.on_train_end(args, state, None)
    screen.close()
    shown = target.getvalue()
    for text in ("loss 1.2500", "lr 2.0e-04", "tok/s", "GiB", "10/10", "eval 3.5000"):
        assert text in shown
    assert ("step 10/10" in shown) != terminal
    assert "…" not in shown  # nothing is cut at 80 columns


def test_screen_shows_how_answers_are_told_apart(metrics: Metrics) -> None:
    """In one line of 80 columns."""
    metrics.last = {"loss": 0.5472, "learning_rate": 9.5e-4, "tokens_per_second": 12345.0, "peak_memory": 2**34}
    metrics.last |= {"reward_margin": -0.704, "eval_loss": 0.4926, "eval_reward_accuracy": 0.75}
    shown = Screen(Console(), metrics)._facts()
    assert "margin -0.70" in shown and shown.endswith("eval 0.4926 75%") and len(shown) <= 80
