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


def evaluated(config: dict[str, Any], output: Path) -> dict[str, Any]:
    """A run whose best step is not the last one: the learning rate ruins the model."""
    settings = {"eval_steps": 1, "save_steps": 8, "schedule": "constant", "learning_rate": 0.5, "warmup_steps": 0}
    data = {**config["data"], "validation": config["data"]["train"]}
    return {**config, "output": str(output), "data": data, "training": {**config["training"], **settings}}


def best_step(run: Path) -> int:
    """The step with the lowest validation loss."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return min((line["eval_loss"], line["step"]) for line in lines if "eval_loss" in line and line["step"])[1]


def test_damaged_best_checkpoint_is_said_and_the_last_is_taken(
    tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    config = evaluated(tiny_config, run)
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


def test_what_is_left_out_and_cut_is_said(tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(Path(tiny_config["data"]["train"]).read_text(encoding="utf-8"))
    rows[3]["messages"][1]["content"] = ""
    rows[5]["messages"][1]["content"] = "on and on " * 40
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows), encoding="utf-8")
    data = {**tiny_config["data"], "train": str(file)}
    config = {**tiny_config, "data": data, "output": str(tmp_path / "run")}
    with pytest.raises(Exception, match=r"rows.json, record 3.*messages\[1\].content"):
        train(config)
    train({**config, "data": {**data, "on_bad": "skip"}, "output": str(tmp_path / "other")})
    said = capfd.readouterr().err
    assert "15 rows" in said and "left out (data.on_bad=skip)" in said and "record 3" in said
    assert "1 rows are longer than data.max_length" in said
    noted = json.loads((tmp_path / "other" / "data.json").read_text())
    assert noted["files"][0]["bad"][0]["field"] == "messages[1].content" and noted["cut_rows"] == 1
