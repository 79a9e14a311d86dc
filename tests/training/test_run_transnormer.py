"""Linear attention through the whole way: trained on packed rows, saved, loaded again, merged, talked to."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.generate.sampling import Sampling
from tunesmith.generate.session import Session
from tunesmith.models.load import load
from tunesmith.runs import read_json
from tunesmith.training.run import train

IDS = torch.arange(10, 42).view(2, 16)
METHODS = {"lora": {"rank": 8}, "qlora": {"rank": 8}, "full": {}}


@pytest.mark.parametrize("method", list(METHODS))
def test_trained_saved_loaded_merged_and_talked_to(method: str, tiny_rows: Path, tmp_path: Path) -> None:
    config = {
        "model": "nano-transnormer",
        "output": str(tmp_path / "run"),
        "data": {"train": str(tiny_rows), "max_length": 64, "packing": True},
        "tuning": {"method": method, **METHODS[method]},
        "training": {
            "steps": 10,
            "batch_size": 2,
            "learning_rate": 2e-3 if method == "full" else 5e-3,
            "gradient_checkpointing": method == "full",
            "report_to": [],
            "device": "cpu",
        },
    }
    result = train(config)
    status = read_json(tmp_path / "run" / "status.json")
    assert result.state == "finished" and status is not None and status["state"] == "finished"
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.6 * losses[0]
    loaded = load(tmp_path / "run", dtype="float32", device="cpu", base="rounded")
    model: Any = loaded.model
    with torch.no_grad():
        expected = model(input_ids=IDS).logits
        if method != "full":
            merged = copy.deepcopy(model).merge_and_unload()
            torch.testing.assert_close(merged(input_ids=IDS).logits, expected, atol=1e-4, rtol=1e-4)
            assert not torch.equal(load("nano-transnormer", dtype="float32").model(input_ids=IDS).logits, expected)
    answer = Session(loaded, sampling=Sampling(temperature=0.0, max_new_tokens=8)).ask("say red 1")
    assert isinstance(answer, str)
