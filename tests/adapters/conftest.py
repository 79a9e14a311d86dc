"""Adapters of the tiny MiniCPM with random weights, made in a moment; and a run around one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.models.load import load
from tunesmith.models.weights import write_adapter_identity
from tunesmith.tuning import lora

Make = Callable[..., Path]


@pytest.fixture
def make(tiny_model_folder: Path, tmp_path: Path) -> Make:
    """A function: name, seed, other settings of LoRA -> the folder of an adapter whose B is not zero."""

    def made(name: str, seed: int = 1, base: Path = tiny_model_folder, **settings: Any) -> Path:
        torch.manual_seed(seed)
        loaded = load(base, device="cpu", dtype="float32")
        model = lora.apply(loaded.model, loaded.family, lora.Config(**{"method": "lora", "rank": 4, **settings}))
        for key, parameter in model.named_parameters():
            if "lora_B" in key or "lora_embedding_A" in key:
                torch.nn.init.normal_(parameter, std=0.3)
        lora.save(model, tmp_path / name)
        write_adapter_identity(tmp_path / name, base, str(base))
        return tmp_path / name

    return made


@pytest.fixture
def other_base(tiny_model_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function: a copy of the tiny model with other values in config.json, or with one tensor changed."""

    def copied(name: str, change: bool = False, **config: Any) -> Path:
        folder = Path(shutil.copytree(tiny_model_folder, tmp_path / name))
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **config}), "utf-8")
        if change:
            from safetensors.torch import load_file, save_file

            tensors = load_file(folder / "model.safetensors")
            tensors["model.norm.weight"] *= 1.5
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return copied


@pytest.fixture
def run_with(tmp_path: Path) -> Callable[..., Path]:
    """A function: a run's folder of that state, with a copy of an adapter as its result."""

    def wrapped(name: str, adapter: Path | None, **status: Any) -> Path:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_text("model: x\n", "utf-8")
        (tmp_path / name / "status.json").write_text(json.dumps(status), "utf-8")
        if adapter is not None:
            shutil.copytree(adapter, tmp_path / name / "adapter")
        return tmp_path / name

    return wrapped
