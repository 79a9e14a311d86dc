"""The models that are measured on: the bundled one, and MiniCPM's shapes with random weights, in two forms.

Peers that do not know tunesmith get the Granite form: the same weights file and the same function (`export/forms.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import MachineError
from ..locate import locate

Form = Literal["native", "granite"]
SEED = 42
_ROUGHLY = {"rms_norm_eps": 1e-5, "scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 256}
MINICPM_100M = {
    "vocab_size": 122753,
    "hidden_size": 512,
    "intermediate_size": 1280,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 4096,
    **_ROUGHLY,
}
"""A MiniCPM of about 100 million parameters with MiniCPM-2B's vocabulary."""


@dataclass(frozen=True)
class Size:
    """A model to train; `config`: of random weights, empty for the bundled one. `steps`: with the `warm` ones."""

    about: str
    config: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 6
    warm: int = 1
    needs_gpu: bool = False


SIZES = {
    "nano": Size("the bundled nano-minicpm, 5,000 words"),
    "100m": Size("random weights, 12 layers of width 512, MiniCPM-2B's 122,753 words", MINICPM_100M, steps=2),
    "1b": Size(
        "MiniCPM-1B's shape, random weights",
        {
            "vocab_size": 73440,
            "hidden_size": 1536,
            "intermediate_size": 3840,
            "num_hidden_layers": 52,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "max_position_embeddings": 4096,
            **_ROUGHLY,
        },
        steps=12,
        warm=2,
        needs_gpu=True,
    ),
    "2b": Size(
        "MiniCPM-2B's shape, random weights",
        {
            "vocab_size": 122753,
            "hidden_size": 2304,
            "intermediate_size": 5760,
            "num_hidden_layers": 40,
            "num_attention_heads": 36,
            "max_position_embeddings": 4096,
            **_ROUGHLY,
        },
        steps=12,
        warm=2,
        needs_gpu=True,
    ),
}


def write(size: str, folder: Path, device: str) -> dict[Form, str]:
    """Write the model into `folder` and return where its forms are.

    Weights are float32 on a CPU and bfloat16 on a GPU.

    Raises:
        MachineError: a size that needs a GPU, and there is none.
    """
    chosen = SIZES[size]
    if chosen.needs_gpu and device == "cpu":
        raise MachineError(
            f"The size {size} is measured on a CUDA GPU only: on a CPU a step takes minutes and tens of GB. Choose "
            "--size nano or --size 100m."
        )
    native = _native(chosen.config, folder / "native", device)
    return {"native": str(native), "granite": str(_granite(native, folder / "granite"))}


def _native(config: Mapping[str, Any], folder: Path, device: str) -> Path:
    """Write the bundled model, or one with random weights, in the dtype of the measurement."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.logging import disable_progress_bar

    from ..models.minicpm import MiniCPMConfig

    disable_progress_bar()
    torch.manual_seed(SEED)
    dtype, bundled = torch.float32 if device == "cpu" else torch.bfloat16, locate("nano-minicpm")
    if config:
        model = AutoModelForCausalLM.from_config(MiniCPMConfig(**config), dtype=dtype)
    else:
        model = AutoModelForCausalLM.from_pretrained(bundled, dtype=dtype)
    model.save_pretrained(folder)
    for file in bundled.glob("*token*.json"):
        os.symlink(file.resolve(), folder / file.name)
    return folder


def _granite(native: Path, folder: Path) -> Path:
    """Write the Granite form of a model folder: another config.json, all else are links."""
    import torch
    from transformers import AutoModelForCausalLM

    from ..export.forms import granite
    from ..models.files import read_config
    from ..models.minicpm import MiniCPMConfig

    folder.mkdir(parents=True)
    stored = read_config(native)
    with torch.device("meta"):  # only its config is looked at
        model = AutoModelForCausalLM.from_config(MiniCPMConfig(**stored))
    dtype = stored.get("dtype") or stored.get("torch_dtype")
    content = {**granite(model, {}).config, "torch_dtype": dtype}
    (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for file in native.iterdir():
        if file.suffix in {".json", ".safetensors"} and file.name != "config.json":
            os.symlink(file.resolve(), folder / file.name)
    return folder
