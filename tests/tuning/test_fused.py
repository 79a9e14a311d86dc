"""Fused LoRA layers are PEFT's: the same losses, gradients, names and files, in less memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft.tuners import lora as peft_lora
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.models import auto
from tunesmith.models.load import load
from tunesmith.training.objective import Objective
from tunesmith.tuning import fused, lora

Make = Callable[..., Objective]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with each fused step."""
    made: list[int] = []
    step = fused.lora_linear
    monkeypatch.setattr(fused, "lora_linear", lambda *given: made.append(1) or step(*given))
    return made


@pytest.fixture(params=["minicpm", "minicpmv", "transnormer", "llama"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the models."""
    return request.param


@pytest.fixture
def make(kind: str, tiny_model_folder: Path, seeing_folder: Path) -> Make:
    """Build the same model again and again, with adapters that already do something."""

    def build(checkpointing: bool = False, **options: Any) -> Objective:
        torch.manual_seed(1)
        if kind == "llama":
            sizes = {"vocab_size": 260, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
            config = LlamaConfig(**sizes, num_attention_heads=4, num_key_value_heads=2, attention_bias=True)
            model, family = LlamaForCausalLM(config), auto.FAMILY
        else:
            folder = {"minicpm": tiny_model_folder, "minicpmv": seeing_folder, "transnormer": "nano-transnormer"}[kind]
            model, _, family = load(folder, dtype=torch.float32, device="cpu")
        objective = Objective(lora.apply(model, family, lora.Config(rank=4, **options)), family).train()
        if checkpointing:
            objective.inner.gradient_checkpointing_enable({"use_reentrant": False})
        with torch.no_grad():
            for name, parameter in objective.named_parameters():
                if ".lora_B." in name:
                    parameter.normal_(std=0.05)  # with zeros, as LoRA begins, A would have no gradient
        return objective

    return build


@pytest.fixture
def batch(kind: str, golden_batch: SimpleNamespace) -> dict[str, Any]:
    """Two rows, the second padded; with pictures for the model that sees."""
    if kind == "minicpmv":
        return {**golden_batch.inputs, "labels": golden_batch.labels}
    ids, real = torch.randint(3, 250, (2, 17)), torch.ones(2, 17, dtype=torch.int64)
    real[1, 12:] = 0
    return {"input_ids": ids, "attention_mask": real, "labels": torch.where(real == 1, ids, -100)}


def gradients(objective: Objective, batch: dict[str, Any], casts: bool = False) -> tuple[float, dict[str, Tensor]]:
    """The loss, and the gradients of what learns."""
    with torch.autocast("cpu", torch.bfloat16, enabled=casts):
        loss = objective(**batch)
    loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in objective.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.filterwarnings("ignore:.*is deprecated:FutureWarning")
def test_loss_and_gradients_are_those_of_peft(
    checkpointing: bool, make: Make, batch: dict[str, Any], calls: list[int]
) -> None:
    plain, ours = make(checkpointing, fused=False), make(checkpointing)
    loss, expected = gradients(plain, batch)
    assert not calls
    found_loss, found = gradients(ours, batch)
    layers = sum(isinstance(module, fused.FusedLinear) for module in ours.modules())
    assert len(calls) == layers * (2 if checkpointing else 1) and layers >= 10
    assert found_loss == pytest.approx(loss, rel=1e-5)
    assert found.keys() == expected.keys() and len(found) == 2 * layers
    for name, gradient in found.items():
        assert (gradient - expected[name]).norm() <= 1e-5 * expected[name].norm(), name


@pytest.mark.parametrize("kind", ["minicpm"], indirect=True)
def test_bfloat16_is_as_near_to_float32_as_in_peft(make: Make, batch: dict[str, Any]) -> None:
    _, exact = gradients(make(), batch)
    (loss, plain), (found_loss, found) = (gradients(make(fused=which), batch, casts=True) for which in (False, True))
    assert found_loss == pytest.approx(loss, rel=1e-2)
    assert {gradient.dtype for gradient in found.values()} == {torch.float32}

    def apart(some: dict[str, Tensor]) -> float:
        return sum(float((some[name] - exact[name]).norm() / exact[name].norm()) for name in exact)

    assert apart(found) <= 1.1 * apart(plain)


@pytest.mark.parametrize("kind", ["minicpm"], indirect=True)
def test_less_is_kept_for_the_backward_pass(make: Make, batch: dict[str, Any]) -> None:
    def kept(objective: Objective) -> int:
        for parameter in objective.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.bfloat16()
        own = {one.untyped_storage().data_ptr() for one in objective.parameters()}
        held: dict[int, Tensor] = {}  # each storage once, and alive, so that its address is not given out again

        def keep(one: Tensor) -> Tensor:
            held[one.untyped_storage().data_ptr()] = one
            return one

        with saved_tensors_hooks(keep, lambda one: one), torch.autocast("cpu", torch.bfloat16):
            loss = objective(**batch)
        assert loss.requires_grad
        return sum(one.untyped_storage().nbytes() for place, one in held.items() if place not in own)

    assert kept(make()) < 0.9 * kept(make(fused=False))


@pytest.mark.parametrize("kind", ["minicpm"], indirect=True)
@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"dropout": 0.5}, None),
        ({"dora": True}, None),
        ({}, lambda model: model.base_model.disable_adapter_layers()),
        ({}, lambda model: model.merge_adapter()),
        ({}, lambda model: model.base_model.set_adapter(["default", "default"])),
        ({}, lambda model: [one.requires_grad_() for n, one in model.named_parameters() if "base_layer" in n]),
        ({}, lambda model: [one.register_forward_hook(print) for n, one in model.named_modules() if "lora_A.d" in n]),
        ({}, lambda model: [one.bfloat16() for n, one in model.named_modules() if ".lora_" in n]),
    ],
    ids=["dropout", "dora", "disabled", "merged", "two", "base-learns", "hook", "dtypes"],
)
def test_what_is_another_function_is_left_to_peft(
    options: dict[str, Any],
    change: Callable[[nn.Module], Any] | None,
    make: Make,
    batch: dict[str, Any],
    calls: list[int],
) -> None:
    found = []
    for which in (True, False):
        objective = make(fused=which, **options)
        if change is not None:
            change(objective.model)
        torch.manual_seed(2)
        layer = objective.inner.model.layers[0].self_attn.q_proj
        assert type(layer) is (fused.FusedLinear if which else peft_lora.Linear)
        found.append(layer(torch.randn(2, 3, 64).requires_grad_()))
    assert torch.equal(*found) and not calls


@pytest.mark.parametrize("kind", ["minicpm"], indirect=True)
def test_dropout_that_is_off_does_not_matter(make: Make, batch: dict[str, Any], calls: list[int]) -> None:
    gradients(make(dropout=0.5).eval(), batch)
    assert len(calls) == 14


@pytest.mark.parametrize("kind", ["minicpm"], indirect=True)
def test_without_gradients_it_is_peft_bit_for_bit(make: Make, batch: dict[str, Any], calls: list[int]) -> None:
    with torch.no_grad():
        found, expected = (make(fused=which)(**batch) for which in (True, False))
    assert torch.equal(found, expected) and not calls


@pytest.mark.parametrize("kind", ["minicpm"], indirect=True)
def test_files_are_those_of_peft(make: Make, tmp_path: Path) -> None:
    for which in (True, False):
        make(fused=which).model.save_pretrained(tmp_path / str(which))
    settings = [json.loads((tmp_path / str(which) / "adapter_config.json").read_text()) for which in (True, False)]
    assert settings[0] == settings[1]
    first, second = (load_file(tmp_path / str(which) / "adapter_model.safetensors") for which in (True, False))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("kind", ["minicpm"], indirect=True)
def test_merged_it_is_a_plain_model(make: Make, batch: dict[str, Any]) -> None:
    expected, merged = (make(fused=which).model.merge_and_unload() for which in (False, True))
    assert not [module for module in merged.modules() if isinstance(module, peft_lora.LoraLayer)]
    assert all(torch.equal(one, merged.state_dict()[name]) for name, one in expected.state_dict().items())


def test_only_plain_linear_layers_are_fused() -> None:
    class Own(nn.Linear):
        """As quantised layers are: linear, but of another kind."""

    from peft import LoraConfig, get_peft_model

    settings = LoraConfig(r=2, target_modules=["0", "1", "2"])
    fused.register(settings)
    model = get_peft_model(nn.Sequential(nn.Linear(4, 4), Own(4, 4), nn.Conv2d(1, 1, 1)), settings)
    kinds = [type(module) for module in model.base_model.model]
    assert kinds == [fused.FusedLinear, peft_lora.Linear, peft_lora.Conv2d]
