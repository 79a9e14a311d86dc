"""Parts trained in full are in the saved result and in checkpoints; a single lost tensor fails the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tunesmith.errors import AdapterError, RoundTripError, RunError
from tunesmith.models.load import load
from tunesmith.models.trained import FILE
from tunesmith.models.weights import IDENTITY
from tunesmith.runs import read_json
from tunesmith.training import verify as round_trip
from tunesmith.training.checkpoint import folder_name
from tunesmith.training.objective import Objective
from tunesmith.training.run import train
from tunesmith.training.trainer import WEIGHTS, load_trainable
from tunesmith.tuning import lora

PREFIX = "base_model.model."
PARTS = {"vision": "full", "resampler": "full", "embeddings": "full"}


@pytest.fixture(scope="module")
def seeing_config(seeing_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Two steps of the golden MiniCPM-V 2.0 on four pictures; without `output`."""
    root = tmp_path_factory.mktemp("pictures")
    rows = []
    for number, (colour, answer) in enumerate([("red", "a"), ("blue", "b"), ("white", "c"), ("black", "d")]):
        Image.new("RGB", (30 + 8 * number, 40), colour).save(root / f"{number}.png")
        turns = [{"role": "user", "content": "<image>\nsay"}, {"role": "assistant", "content": answer}]
        rows.append({"image": f"{number}.png", "conversations": turns})
    (root / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    return {
        "model": str(seeing_folder),
        "data": {"train": str(root / "rows.json"), "max_length": 256},
        "tuning": {"method": "lora", "rank": 4, **PARTS},
        "training": {
            "steps": 2,
            "save_steps": 1,
            "batch_size": 2,
            "learning_rate": 5e-3,
            "warmup_steps": 0,
            "schedule": "constant",
            "precision": "fp32",
            "device": "cpu",
            "report_to": [],
        },
    }


@pytest.fixture(scope="module")
def finished(seeing_config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has ended, without its round trip; copy it before changing it."""
    run = tmp_path_factory.mktemp("finished") / "run"
    quick = {**seeing_config, "training": {**seeing_config["training"], "verify": False}}
    assert train({**quick, "output": str(run)}).state == "finished"
    return run


def test_everything_trained_is_saved(finished: Path, seeing_config: dict[str, Any]) -> None:
    last = finished / "checkpoints" / folder_name(2)
    stored, trained = load_file(finished / "adapter" / FILE), load_file(last / WEIGHTS)
    in_full = {name.removeprefix(PREFIX): tensor for name, tensor in trained.items() if "lora_" not in name}
    assert stored.keys() == in_full.keys() and {name.split(".")[0] for name in stored} == {"vpm", "resampler", "llm"}
    before = load_file(Path(seeing_config["model"]) / "model.safetensors")
    for name, tensor in in_full.items():
        assert torch.equal(stored[name], tensor) and not torch.equal(tensor, before[name].float()), name
    report = round_trip.compare(finished)
    assert report["faults"] == [] and report["tensors"] == len(trained)
    moments = torch.load(last / "optimizer.pt", weights_only=True)["state"]
    assert len(moments) == len(trained)  # the frozen parts have none


def test_resumed_run_ends_alike(finished: Path, seeing_config: dict[str, Any], tmp_path: Path) -> None:
    """A run that is stopped after the first step ends with the same weights, in all parts."""
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints" / folder_name(2))
    shutil.rmtree(run / "adapter")
    status = json.loads((run / "status.json").read_text(encoding="utf-8"))
    (run / "status.json").write_text(json.dumps({**status, "state": "interrupted", "step": 1}), encoding="utf-8")
    quick = {**seeing_config, "training": {**seeing_config["training"], "verify": False}}
    train({**quick, "output": str(run)})
    for file in (FILE, "adapter_model.safetensors"):
        first, second = load_file(finished / "adapter" / file), load_file(run / "adapter" / file)
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def lose(file: Path, name: str) -> None:
    tensors = load_file(file)
    tensors.pop(name)
    save_file(tensors, file)


def test_lost_tensor_marks_the_run_failed(
    seeing_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tensor is lost while saving, before the list of them is made; the clean process finds out."""
    save: Callable[..., bool] = lora.save

    def careless(model: Any, folder: Path) -> bool:
        same = save(model, folder)
        lose(folder / FILE, "resampler.query")
        return same

    monkeypatch.setattr(lora, "save", careless)
    with pytest.raises(RoundTripError, match=r"resampler\.query is different"):
        train({**seeing_config, "output": str(tmp_path / "run")})
    status = read_json(tmp_path / "run" / "status.json")
    assert status is not None and status["state"] == "failed" and "resampler.query" in status["reason"]


@pytest.mark.parametrize("name", ["vpm.blocks.0.norm1.bias", "resampler.pos_embed", "llm.model.embed_tokens.weight"])
def test_each_part_is_compared(name: str, finished: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    lose(run / "adapter" / FILE, name)
    with pytest.raises(AdapterError, match=f"{name} is missing"):
        round_trip.compare(run)
    identity = json.loads((run / "adapter" / IDENTITY).read_text(encoding="utf-8"))
    del identity["trained_parts"]  # an older folder, without a list
    (run / "adapter" / IDENTITY).write_text(json.dumps(identity), encoding="utf-8")
    (fault, *_) = round_trip.compare(run)["faults"]
    assert fault == f"{PREFIX}{name} is different"


def test_checkpoint_of_other_parts_is_refused(finished: Path, seeing_config: dict[str, Any], tmp_path: Path) -> None:
    loaded = load(seeing_config["model"], dtype="float32", device="cpu")
    settings = lora.Config.model_validate(seeing_config["tuning"])
    objective = Objective(lora.apply(loaded.model, loaded.family, settings), loaded.family)
    shutil.copyfile(finished / "checkpoints" / folder_name(2) / WEIGHTS, tmp_path / WEIGHTS)
    load_trainable(objective, tmp_path)
    lose(tmp_path / WEIGHTS, f"{PREFIX}resampler.query")
    with pytest.raises(RunError, match="other parameters"):
        load_trainable(objective, tmp_path)
