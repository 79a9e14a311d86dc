"""The round trip: what was trained is what is saved, and a difference in one tensor is seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from tunesmith.errors import RoundTripError
from tunesmith.training import verify as round_trip
from tunesmith.training.run import train


def changed(config: dict[str, Any], output: Path, **training: Any) -> dict[str, Any]:
    """The config with another output and other training settings."""
    return {**config, "output": str(output), "training": {**config["training"], **training}}


def losses(run: Path, key: str = "loss") -> list[float]:
    """The logged losses."""
    return [line[key] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if key in line]


@pytest.mark.parametrize(
    ("tuning", "training"),
    [
        ({"method": "lora", "dora": True}, {}),
        ({"method": "lora", "rslora": True, "targets": ["q_proj", "v_proj"]}, {}),
        ({"method": "lora", "init": "pissa"}, {}),
        ({"method": "lora", "plus_ratio": 8.0, "targets": r".*\.(up|down)_proj"}, {"schedule": "wsd"}),
        ({"method": "full"}, {"schedule": "linear"}),
        ({"method": "lora", "rank": 4}, {"precision": "bf16"}),
    ],
    ids=["dora", "rslora", "pissa", "lora+", "full", "bf16"],
)
def test_every_tuning_survives_the_round_trip(tuning: dict, training: dict, tiny_config: dict, tmp_path: Path) -> None:
    config = {**tiny_config, "tuning": tuning}
    assert train(changed(config, tmp_path / "run", **training)).state == "finished"
    report = round_trip.compare(tmp_path / "run")
    assert report["faults"] == [] and report["rows"] == 4
    assert report["tensors"] > 0 or tuning.get("init") == "pissa"
    assert losses(tmp_path / "run")[-1] < losses(tmp_path / "run")[0]


def test_lost_tensor_fails_the_run(tiny_config: dict, tmp_path: Path) -> None:
    """The round trip sees a single changed or missing tensor."""
    from safetensors.torch import save_file

    train(changed(tiny_config, tmp_path / "run"))
    file = tmp_path / "run" / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if "lora_B" in name)
    tensors[name] = tensors[name] + 1e-3
    save_file(tensors, file, metadata={"format": "pt"})
    (fault, *_) = round_trip.compare(tmp_path / "run")["faults"]
    assert name.removesuffix(".weight") in fault.replace(".default", "")
    with pytest.raises(RoundTripError, match="is not what was trained"):
        round_trip.check_in_clean_process(tmp_path / "run")
    file.unlink()
    with pytest.raises(RoundTripError, match="cannot be loaded by a clean process"):
        round_trip.check_in_clean_process(tmp_path / "run")
