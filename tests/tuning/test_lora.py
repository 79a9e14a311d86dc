"""LoRA's options, targets and learning-rate factors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.errors import ConfigError
from tunesmith.models.load import load
from tunesmith.training.checkpointing import compute_again
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


def test_names_of_another_model_are_all_named(tiny_model_folder: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        adapted(tiny_model_folder, targets=["q_proj", "qkvu_proj", "w1"])
    said = str(caught.value)
    assert "no layers 'qkvu_proj', 'w1'" in said and "'q_proj'," not in said and "lm_head" not in said
    assert "targets: [q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]" in said


def test_the_names_of_a_widely_copied_tutorial_are_answered() -> None:
    loaded = load("nano-transnormer", dtype=torch.float32, device="cpu")
    tutorial = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    with pytest.raises(ConfigError) as caught:
        lora.apply(loaded.model, loaded.family, lora.Config(targets=tutorial))
    said = str(caught.value)
    assert all(f"'{name}'" in said for name in tutorial) and "qkvu_proj is q, k, v and the gate in one." in said
    assert "Write targets: [qkvu_proj, out_proj, l1, l2, l3] or some of them, or leave targets out." in said


@pytest.mark.parametrize("name", ["qkv_proj", "qkv"])
def test_a_layer_that_is_three_in_one_is_said(name: str, tiny_model_folder: Path) -> None:
    loaded = load(tiny_model_folder, dtype=torch.float32)
    for layer in loaded.model.model.layers:
        layer.add_module(name, torch.nn.Linear(4, 4))
    with pytest.raises(ConfigError, match=rf"no layer 'W_pack'.* {name} is q, k and v in one\."):
        lora.apply(loaded.model, loaded.family, lora.Config(targets=["W_pack"]))


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


@pytest.mark.parametrize("options", [{}, {"init": "pissa"}], ids=["default", "pissa"])
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_on_the_head_is_saved_alone(options: dict[str, str], seeing_folder: Path, tmp_path: Path) -> None:
    model = adapted(seeing_folder, targets=["lm_head", "q_proj"], rank=2, **options)
    lora.prepare(model, tmp_path)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.add_(0.01)
    (tmp_path / "adapter").mkdir()
    lora.save(
        model, tmp_path / "adapter"
    )  # PEFT would add the head itself, with a warning, and warnings are errors here
    kept = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert any("lm_head" in name for name in kept) and all(".lora_" in name for name in kept)
    ids = torch.arange(8)[None]
    again = load(seeing_folder, adapter=tmp_path / "adapter", dtype=torch.float32).model
    with torch.no_grad():
        expected, found = model.eval()(ids).logits, again(ids).logits
    torch.testing.assert_close(found, expected, atol=1e-4 if options else 0, rtol=0)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("fused", [True, False], ids=["fused", "peft"])
def test_backward_stops_below_the_lowest_layer_that_learns(
    fused: bool, checkpointing: bool, tiny_model_folder: Path
) -> None:
    model = adapted(tiny_model_folder, targets=r".*\.layers\.1\..*_proj", fused=fused).train()
    inner = model.get_base_model()
    if checkpointing:
        compute_again(inner)
    states: list[torch.Tensor] = []
    for module in (inner.model.embed_tokens, *inner.model.layers):
        module.register_forward_hook(lambda _, __, output: states.append(output))
    inner(input_ids=torch.arange(3, 20)[None], use_cache=False).logits.square().sum().backward()
    assert [state.requires_grad for state in states] == [False, False, True]
    assert [state.grad_fn is not None for state in states] == [False, False, True]
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in model.parameters())
