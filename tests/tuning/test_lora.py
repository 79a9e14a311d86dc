"""LoRA's options, targets and learning-rate factors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tunesmith.errors import ConfigError
from tunesmith.models.load import load
from tunesmith.tuning import lora

LAYERS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def adapted(folder: Path, **options: object) -> torch.nn.Module:
    """The tiny model with adapters."""
    loaded = load(folder, dtype=torch.float32)
    return lora.apply(loaded.model, loaded.family, lora.Config.model_validate(options))


def layers_of(model: torch.nn.Module) -> set[str]:
    """The names of the layers that have adapters."""
    return {name.split(".lora_")[0].rsplit(".", 1)[-1] for name, _ in model.named_parameters() if ".lora_A." in name}


def test_only_adapters_learn(tiny_model_folder: Path) -> None:
    model = adapted(tiny_model_folder)
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learning and all("lora_" in name for name in learning)
    assert layers_of(model) == LAYERS


@pytest.mark.parametrize(
    ("targets", "layers"),
    [
        (["q_proj", "v_proj"], {"q_proj", "v_proj"}),
        ("all-linear", LAYERS),
        (r".*\.(up|down)_proj", {"up_proj", "down_proj"}),
    ],
)
def test_targets(targets: str | list[str], layers: set[str], tiny_model_folder: Path) -> None:
    assert layers_of(adapted(tiny_model_folder, target_modules=targets)) == layers


@pytest.mark.parametrize(("targets", "match"), [(["W_pack"], "its? linear layers|Its linear"), ("nothing", "tuning: ")])
def test_targets_that_do_not_exist(targets: str | list[str], match: str, tiny_model_folder: Path) -> None:
    with pytest.raises(ConfigError, match=match):
        adapted(tiny_model_folder, targets=targets)


def test_dora_and_rslora(tiny_model_folder: Path) -> None:
    model = adapted(tiny_model_folder, dora=True, rslora=True, r=4, lora_alpha=8)
    assert any("lora_magnitude_vector" in name for name, _ in model.named_parameters())
    layer = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    assert layer.scaling["default"] == 8 / 4**0.5


def test_plus_speeds_up_b_only() -> None:
    config = lora.Config(plus_ratio=16)
    assert lora.learning_rate_factor("x.lora_B.default.weight", config) == 16
    assert lora.learning_rate_factor("x.lora_A.default.weight", config) == 1
    assert lora.learning_rate_factor("x.lora_B.default.weight", lora.Config()) == 1


@pytest.mark.parametrize("options", [{"vision": "full"}, {"language": "frozen"}, {"embeddings": "full"}])
def test_text_models_are_one_part(options: dict[str, str], tiny_model_folder: Path) -> None:
    (part,) = options
    with pytest.raises(ConfigError, match=rf"tuning\.{part}.*no part '{part}'"):
        adapted(tiny_model_folder, **options)
