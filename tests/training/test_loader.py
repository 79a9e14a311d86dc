"""Batches made ahead: how many processes, the same bits whatever their number, signals, and how long a step waits."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.data.chats import MarkerChat
from tunesmith.data.collate import Collator, PictureLoader
from tunesmith.data.flow import Work
from tunesmith.data.pipeline import Preparation
from tunesmith.data.slicing import Slicing
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.training import loader
from tunesmith.training.loader import Waits, loader_options, worker_count
from tunesmith.training.run import train

CPU, GPU = torch.device("cpu"), torch.device("cuda")
TEXT = Collator(0)
SEEING = Collator(0, PictureLoader(Slicing(448, 14, 9)))


def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert worker_count("auto", TEXT, GPU, 1, False) == worker_count("auto", SEEING, CPU, 1, False) == 0
    assert worker_count("auto", SEEING, GPU, 1, False) == loader.MOST_WORKERS
    assert worker_count("auto", SEEING, GPU, 1, True) == 0
    assert worker_count("auto", SEEING, GPU, 8, False) == 1 and worker_count("auto", SEEING, GPU, 16, False) == 1
    assert worker_count(3, TEXT, CPU, 16, False) == 3


def test_options() -> None:
    assert "prefetch_factor" not in loader_options(0, 4, False)
    options = loader_options(2, 8, True)
    assert options["persistent_workers"] and options["pin_memory"] and options["prefetch_factor"] == 6


def test_waiting_is_counted_and_nothing_is_lost() -> None:
    def slow() -> Iterator[int]:
        for number in range(3):
            time.sleep(0.02)
            yield number

    waits, source = Waits(), slow()
    assert next(waits.watching(source)) == 0  # a part at a time, as the trainer takes them
    time.sleep(0.05)
    assert list(waits.watching(source)) == [1, 2]
    assert 0.06 <= waits.seconds < 0.1


def test_what_makes_batches_can_go_to_a_fresh_process(tiny_rows: Path, tiny_model_folder: Path) -> None:
    """Where processes are not forked, rows and collator are sent to them."""
    work = Work(MarkerChat(), TextTokenizer.load(tiny_model_folder))
    rows = Preparation(work, "stop").run([str(tiny_rows)])
    again = pickle.loads(pickle.dumps(rows))
    assert again[3] == rows[3] and pickle.loads(pickle.dumps(SEEING)) == SEEING


def configured(config: dict[str, Any], output: Path, **training: Any) -> dict[str, Any]:
    """The config with dropout, so that what is drawn at random shows, and several epochs."""
    tuning = {"method": "lora", "rank": 4, "dropout": 0.3}
    return {**config, "output": str(output), "tuning": tuning, "training": {**config["training"], **training}}


def weights(run: Path) -> dict[str, torch.Tensor]:
    """The adapter of a run."""
    return load_file(run / "adapter" / "adapter_model.safetensors")


def test_same_bits_with_processes(tiny_config: dict, tiny_rows: Path, tmp_path: Path) -> None:
    config = {**tiny_config, "data": {**tiny_config["data"], "validation": str(tiny_rows)}}
    common = {"gradient_accumulation_steps": 2, "batch_size": 2}
    for workers in (0, 2):
        train(configured(config, tmp_path / str(workers), workers=workers, **common))
    assert all(weights(tmp_path / "2")[name].equal(one) for name, one in weights(tmp_path / "0").items())
    assert multiprocessing.active_children() == []  # they have ended with the run
    lines = [json.loads(line) for line in (tmp_path / "2" / "metrics.jsonl").read_text().splitlines()]
    shares = [line["wait_share"] for line in lines if "loss" in line]
    assert len(shares) == 8 and all(0 < share < 1 for share in shares)


SCRIPT = """
import json, sys
from transformers import TrainerCallback
from tunesmith.training import steps
from tunesmith.training.run import train

class Tell(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        print(state.global_step, flush=True)
        sys.stdin.readline()

real = steps.fit
def fit(config, setup, trainer, run, progress):
    trainer.add_callback(Tell())
    return real(config, setup, trainer, run, progress)
steps.fit = fit
print(train(json.loads(sys.argv[1])).state)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs process groups")
def test_ctrl_c_goes_to_all_processes_and_the_run_goes_on_later(tiny_config: dict, tmp_path: Path) -> None:
    """The signal reaches the workers as well; they go on, the step is saved, and the resumed run has the same bits."""
    config = configured(tiny_config, tmp_path / "run", workers=2)
    begun = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, json.dumps(config)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert begun.stdout is not None and begun.stdin is not None
    assert begun.stdout.readline() == "1\n"
    os.killpg(begun.pid, signal.SIGINT)
    time.sleep(0.3)  # a worker that the signal ends would be missed in the next step
    out, said = begun.communicate("\n" * 8, timeout=60)
    assert begun.returncode == 0 and out.split()[-1] == "interrupted", said
    assert said.count("SIGINT: saving at the next optimiser step") == 1
    assert train(config).state == "finished"
    train({**configured(tiny_config, tmp_path / "whole"), "training": {**config["training"], "workers": 0}})
    assert all(weights(tmp_path / "run")[name].equal(one) for name, one in weights(tmp_path / "whole").items())
