"""The steps of a run: what they say, and which weights become the result."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tunesmith.training import checkpoint, trainer
from tunesmith.training.run import train


def evaluated(config: dict[str, Any], validation: Path, output: Path) -> dict[str, Any]:
    """A run whose best step is not the last one: the validation contradicts what is learned."""
    settings = {"eval_steps": 1, "save_steps": 8, "schedule": "constant", "learning_rate": 0.1, "warmup_steps": 0}
    data = {**config["data"], "validation": str(validation)}
    return {**config, "output": str(output), "data": data, "training": {**config["training"], **settings}}


def best_step(run: Path) -> int:
    """The step with the lowest validation loss."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return min((line["eval_loss"], line["step"]) for line in lines if "eval_loss" in line and line["step"])[1]


def test_damaged_best_checkpoint_is_said_and_the_last_is_taken(
    tiny_config: dict, other_rows: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    config = evaluated(tiny_config, other_rows, run)
    train(config)
    best = best_step(run)
    assert f"The result is step {best}" in capfd.readouterr().err and best < 8
    shutil.rmtree(run / "adapter")
    (run / "status.json").write_text('{"state": "running"}')
    (run / "checkpoints" / f"checkpoint-{best}" / trainer.WEIGHTS).write_bytes(b"")
    train(config)
    assert f"best checkpoint (step {best}) is damaged" in capfd.readouterr().err
    last = load_file(run / "checkpoints" / "checkpoint-8" / trainer.WEIGHTS)
    stored = load_file(run / "adapter" / "adapter_model.safetensors")
    assert all(stored[name.replace(".default", "")].equal(tensor) for name, tensor in last.items())
    assert checkpoint.faults(run / "adapter") == []
