"""tunesmith is measured with its defaults, and what a rung of the ablation changes is changed."""

from __future__ import annotations

from dataclasses import replace

from tunesmith.bench.job import LEARNING_RATE, Job
from tunesmith.bench.sides.tunesmith import settings, train
from tunesmith.training.settings import DataSettings, TrainingSettings


def test_it_learns_from_all_rows_once(job: Job) -> None:
    order, steps = train(job)
    assert order == job.ids.orders["tunesmith"] and len(steps) == job.steps
    assert all(step["seconds"] > 0 and step["loss"] > 0 and step["gradient_norm"] > 0 for step in steps)


def test_what_is_not_told_is_the_default(job: Job) -> None:
    told = {"steps", "batch_size", "learning_rate", "schedule", "warmup_ratio", "precision", "device", "report_to"}
    config = settings(job)
    for section, fields, own in (
        (config.data, DataSettings.model_fields, {"train", "max_length"}),
        (config.training, TrainingSettings.model_fields, told),
    ):
        assert {name for name in fields if getattr(section, name) != fields[name].default} <= own
    assert config.training.learning_rate == LEARNING_RATE


def test_settings_of_the_job_come_last(job: Job) -> None:
    config = settings(replace(job, settings={"data.share_prefixes": False, "training.precision": "bf16"}))
    assert config.data.share_prefixes is False and config.training.precision == "bf16"
