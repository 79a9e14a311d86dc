"""tunesmith: the steps of `training/run.py` up to the last optimiser step, with its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import config as configuration
from ... import lookup
from ...runs import open_run
from ...training.settings import TUNING, TrainConfig
from ..job import ALPHA, LEARNING_RATE, RANK, Job

if TYPE_CHECKING:
    from ...training.rows import Rows
    from ...training.setup import Setup


def settings(job: Job) -> TrainConfig:
    """Return what the run is told: the terms of the comparison, and what the job changes ("section.key": value)."""
    told = {
        "model": job.model,
        "output": job.output,
        "data": {"train": job.records, "max_length": job.max_length},
        "tuning": {"method": "lora", "rank": RANK, "alpha": ALPHA},
        "training": {
            "steps": job.steps,
            "batch_size": job.batch_size,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "warmup_ratio": 0.0,
            "precision": "bf16" if job.bf16 else "fp32",
            "device": job.device,
            "report_to": "none",
        },
    }
    return configuration.read(TrainConfig, told, [f"{key}={value}" for key, value in job.settings.items()])


def rows_of(job: Job) -> tuple[TrainConfig, Setup, Any, Rows]:
    """Return the config, where it computes, the loaded model and the rows in tunesmith's order."""
    from ...training import steps
    from ...training.rows import arrange, prepare_rows
    from ...training.setup import choose

    config = settings(job)
    setup = choose(config)
    rows = prepare_rows(config, setup)
    loaded = steps.load_base(config, setup)
    return config, setup, loaded, arrange(config, setup, loaded, rows)


def train(job: Job) -> tuple[list[int], list[dict[str, float]]]:
    """Train, and return the order of the rows and what each step took."""
    from ...training import steps
    from ...training.callbacks import Progress
    from ..clock import Clock

    config, setup, loaded, rows = rows_of(job)
    assert rows.order is not None  # not a stream
    method, run, clock = lookup.find(TUNING, config.tuning.method), open_run(Path(job.output)), Clock()
    objective = steps.build_objective(config, setup, loaded, method, run)
    steps.test_objective(config, setup, objective, rows)
    trainer = steps.build_trainer(config, setup, objective, rows, method, run)
    trainer.add_callback(clock)
    steps.fit(config, setup, trainer, run, Progress())
    return rows.order.indexes().tolist(), clock.steps
