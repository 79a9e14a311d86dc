"""DeepSpeed's configuration: what we make, what is read of the published files, what is refused. Its engine: test_sharing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.edges import deepspeed
from tunesmith.errors import ConfigError, MachineError

# As the published tutorials of the 2B model give it, with their numbers.
PUBLISHED: dict[str, Any] = {
    "fp16": {"enabled": "auto", "loss_scale": 0, "loss_scale_window": 1000, "initial_scale_power": 16},
    "bf16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 2,
        "offload_optimizer": {"device": "cpu", "pin_memory": True},
        "allgather_partitions": True,
        "reduce_bucket_size": 2e8,
        "contiguous_gradients": True,
    },
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": 1.0,
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
}


def written(folder: Path, content: Any) -> Path:
    (folder / "ds.json").write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder / "ds.json"


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_stages(stage: int) -> None:
    config, notes = deepspeed.configuration(stage, "none", "cuda")
    zero = config["zero_optimization"]
    assert deepspeed.stage(config) == stage and notes == [] and "zero_force_ds_cpu_optimizer" not in config
    assert not any(key.startswith("offload") for key in zero)
    assert ("stage3_param_persistence_threshold" in zero) == (stage == 3)
    assert config["train_batch_size"] == config["gradient_clipping"] == config["bf16"]["enabled"] == deepspeed.AUTO


def test_offload_with_and_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deepspeed.shutil, "which", lambda _: "/usr/bin/g++")
    config, notes = deepspeed.configuration(3, "all", "cuda")
    assert config["zero_optimization"]["offload_param"] == {"device": "cpu", "pin_memory": True}
    assert config["zero_force_ds_cpu_optimizer"] is True and notes == []
    on_cpu, notes = deepspeed.configuration(2, "optimizer", "cpu")
    assert on_cpu["zero_force_ds_cpu_optimizer"] is False and notes == [], "torch's own is as good there"
    assert on_cpu["zero_optimization"]["offload_optimizer"]["pin_memory"] is False
    monkeypatch.setattr(deepspeed.shutil, "which", lambda _: None)
    config, (said,) = deepspeed.configuration(2, "optimizer", "cuda")
    assert config["zero_force_ds_cpu_optimizer"] is False and "no g++" in said


def test_published_files_are_read(tmp_path: Path) -> None:
    config, notes = deepspeed.read(written(tmp_path, PUBLISHED), "cpu")
    assert notes == [] and config["zero_optimization"]["offload_optimizer"] == {"device": "cpu", "pin_memory": False}
    assert {key: config[key] for key in PUBLISHED if key != "zero_optimization"} == {
        key: value for key, value in PUBLISHED.items() if key != "zero_optimization"
    }
    auto = {"type": "AdamW", "params": {"lr": "auto", "betas": "auto"}}
    config, (said,) = deepspeed.read(written(tmp_path, {**PUBLISHED, "optimizer": auto}), "cpu")
    assert "optimizer" not in config and "optimizer is auto" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ({"train_batch_size": 4}, "no section zero_optimization"),
        ([1], "no section zero_optimization"),
        ({**PUBLISHED, "zero_optimization": {"stage": 0}}, "stage 0, which shares nothing out"),
        ({**PUBLISHED, "optimizer": {"type": "Adam", "params": {"lr": 1e-3}}}, "numbers in its section optimizer"),
        ({**PUBLISHED, "scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 5}}}, "section scheduler"),
        ({**PUBLISHED, "zero_optimization": {"stage": 3, "offload_param": {"device": "nvme"}}}, "on nvme"),
    ],
    ids=["json", "section", "list", "stage", "optimizer", "scheduler", "nvme"],
)
def test_what_cannot_be_used_is_said(content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        deepspeed.read(written(tmp_path, content), "cpu")
    with pytest.raises(ConfigError, match="cannot be read"):
        deepspeed.read(tmp_path / "none.json", "cpu")


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(MachineError, match=r"pip install 'tunesmith\[deepspeed\]'"):
        deepspeed.prepare("cpu")
