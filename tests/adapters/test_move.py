"""Moving: onto the same weights elsewhere, onto other weights if asked for, and never onto other shapes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.adapters.move import move
from tunesmith.errors import AdapterError, ConfigError
from tunesmith.models.load import load
from tunesmith.models.trained import FILE
from tunesmith.models.weights import fingerprint

Make = Callable[..., Path]


def logits(folder: Path) -> torch.Tensor:
    """What a model computes for some tokens."""
    model: Any = load(folder, device="cpu").model
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=torch.tensor([[1, 5, 9, 40]])).logits
    return result


def test_the_same_weights_elsewhere(make: Make, other_base: Callable[..., Path], tmp_path: Path) -> None:
    folder, base = make("a"), other_base("copy")
    (folder / "chat_template.jinja").write_text("x", "utf-8")
    before = {file: file.read_bytes() for file in folder.iterdir()}
    made = move(str(folder), str(base), tmp_path / "out")
    assert {file: file.read_bytes() for file in before} == before
    assert torch.equal(logits(made), logits(folder)) and (made / "chat_template.jinja").is_file()
    config = json.loads((made / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(base)


def test_other_weights_are_to_be_asked_for(make: Make, other_base: Callable[..., Path], tmp_path: Path) -> None:
    folder, base = make("a"), other_base("new", change=True, rope_theta=500.0)
    save_file({"model.norm.weight": torch.full((64,), 2.0)}, folder / FILE)
    with pytest.raises(
        ConfigError, match=r"has other weights than .* Its config differs as well: rope_theta was"
    ) as told:
        move(str(folder), str(base), tmp_path / "out")
    assert "--other-weights" in str(told.value) and not (tmp_path / "out").exists()
    made = move(str(folder), str(base), tmp_path / "out", other_weights=True)
    identity = json.loads((made / "tunesmith.json").read_text("utf-8"))
    assert identity["base_fingerprint"] == fingerprint(base) != identity["moved_from"]["base_fingerprint"]
    assert identity["trained_parts"] == {"model.norm.weight": [64]}
    assert load(made, device="cpu").model.get_parameter("base_model.model.model.norm.weight")[0] == 2


def test_an_adapter_that_does_not_say_its_base(make: Make, other_base: Callable[..., Path], tmp_path: Path) -> None:
    folder, base = make("a"), other_base("copy")
    (folder / "tunesmith.json").unlink()
    with pytest.raises(ConfigError, match="which the adapter does not say"):
        move(str(folder), str(base), tmp_path / "out")


def test_other_architectures_are_refused(make: Make, other_base: Callable[..., Path], tmp_path: Path) -> None:
    folder = str(make("a"))
    for base, said in (
        (other_base("heads", num_attention_heads=8), "num_attention_heads was 4 and is 8"),
        ("nano-transnormer", "the model_type was minicpm and is transnormer"),
        ("nano-minicpm", "num_hidden_layers was 2 and is 4; hidden_size was 64 and is 192"),
    ):
        with pytest.raises(AdapterError, match=said):
            move(folder, str(base), tmp_path / "out", other_weights=True)
    with pytest.raises(ConfigError, match="is an adapter itself"):
        move(folder, str(make("b")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_layers_and_shapes_are_named(make: Make, tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = make("a", targets=["q_proj"])
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    prefix = "base_model.model.model.layers"
    changed = {name.replace("layers.1.self_attn", "layers.7.self_attn"): tensor for name, tensor in tensors.items()}
    changed[f"{prefix}.0.self_attn.q_proj.lora_B.weight"] = torch.zeros(32, 4)
    save_file(changed, file)
    with pytest.raises(
        AdapterError, match=r"layers.0.self_attn.q_proj.weight is \[64, 64\], not \[32, 64\]; there is no"
    ):
        move(str(folder), str(tiny_model_folder), tmp_path / "out")
