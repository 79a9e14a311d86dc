"""What the model gave to the answers before training: the plain numbers, kept for resuming, and only for the same run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from tunesmith import config
from tunesmith.data.collate import collate
from tunesmith.models.load import load
from tunesmith.runs import open_run
from tunesmith.training import reference, rows
from tunesmith.training.arguments import Precision
from tunesmith.training.distributed.ranks import Ranks
from tunesmith.training.distributed.sharing import Whole
from tunesmith.training.preferences import Preferences, objective_of
from tunesmith.training.settings import TrainConfig
from tunesmith.training.setup import Setup
from tunesmith.tuning import lora


@pytest.fixture
def tree(tiny_model_folder: Path, tmp_path: Path) -> dict[str, Any]:
    records = [{"prompt": f"say {n}", "chosen": f"word {n} " * (1 + n % 3), "rejected": f"no {n}"} for n in range(11)]
    (tmp_path / "pairs.json").write_text(json.dumps(records))
    return {
        "model": str(tiny_model_folder), "output": str(tmp_path / "run"), "objective": "dpo",
        "data": {"train": str(tmp_path / "pairs.json"), "validation_share": 0.2}, "training": {"batch_size": 4},
    }  # fmt: skip


class Job:
    """A run up to where the model before training is looked at."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.config = config.read(TrainConfig, tree)
        device = torch.device("cpu")
        precision = Precision(torch.float32, torch.float32, "")
        self.setup = Setup(device, precision, Console(quiet=True), [], Whole(Ranks(), device))
        self.run = open_run(self.config.output)
        self.run.set_status("running")
        self.loaded = load(self.config.model, dtype=torch.float32)
        prepared = rows.prepare_rows(self.config, self.setup)
        self.rows = rows.arrange(self.config, self.setup, self.loaded, prepared)
        model = lora.apply(self.loaded.model, self.loaded.family, self.config.tuning)
        self.objective: Any = objective_of(self.config.objective, model, self.loaded.family, Ranks())

    def look(self) -> rows.Rows:
        return reference.with_reference(self.config, self.setup, self.objective, self.rows, self.run)


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("objective", ["dpo", "kto"])
def test_every_row_gets_its_own_numbers(packing: bool, objective: str, tree: dict[str, Any]) -> None:
    tree = {**tree, "objective": objective, "data": {**tree["data"], "packing": packing}}
    job = Job(tree)
    found = job.look()
    assert found.train is not None and found.validation is not None
    assert len(found.train) + len(found.validation) == (22 if objective == "kto" else 11)
    for part in (found.train, found.validation):
        for example in part:
            with torch.no_grad():
                (expected,) = job.objective.answers(**collate([example], 0))[0].tolist()
            assert example.reference == pytest.approx(expected, rel=1e-5)
    item = found.items[0]
    assert all(one.reference is not None for one in getattr(item, "examples", (item,)))
    assert job.objective.training and not job.objective.measures
    assert hasattr(item, "examples") == (packing and objective == "dpo")  # half of kto has no gradient


def test_it_is_read_again_only_by_the_same_run(tree: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    answers = Preferences.answers
    monkeypatch.setattr(Preferences, "answers", lambda self, **batch: looked.append("") or answers(self, **batch))
    job = Job(tree)
    first = [example.reference for example in job.look().items]
    assert looked and set(load_file(job.run.path / reference.REFERENCE)) == {"train", "validation"}
    with torch.no_grad():  # training has begun
        for parameter in job.objective.parameters():
            parameter.add_(0.1)
    looked.clear()
    assert [example.reference for example in job.look().items] == first and not looked
    changed = Job({**tree, "training": {**tree["training"], "seed": 1}})  # other rows are set apart
    changed.look()
    assert looked
    looked.clear()
    changed.look()
    assert not looked
    weights = Path(tree["model"]) / "model.safetensors"
    os.utime(weights, ns=(0, weights.stat().st_mtime_ns + 10**9))  # it may be another model now
    changed.look()
    assert looked


def test_orpo_needs_none(tree: dict[str, Any]) -> None:
    job = Job({**tree, "objective": "orpo"})
    assert job.look() is job.rows and not (job.run.path / reference.REFERENCE).exists()
