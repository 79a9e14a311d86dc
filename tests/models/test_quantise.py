"""Quantised bases: which layers, how many bytes, what they compute, and back again."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tunesmith.errors import MachineError
from tunesmith.models import quantise
from tunesmith.models.load import load
from tunesmith.models.minicpm import FAMILY, MiniCPMConfig, MiniCPMForCausalLM
from tunesmith.models.quantise import Quantisation

CPU = torch.device("cpu")
IDS = torch.arange(3, 35).view(2, 16)


def held(model: nn.Module) -> set[str]:
    """The last names of the layers that are quantised."""
    return {name.rpartition(".")[2] for name, module in model.named_modules() if quantise.is_quantised(module)}


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_layers_are_quantised_and_come_back(kind: str) -> None:
    plain = load("nano-minicpm", dtype=torch.float32, device="cpu")
    model = load("nano-minicpm", dtype=torch.float32, device="cpu", base=Quantisation(kind)).model
    with torch.no_grad():
        exact, rounded = plain.model(IDS).logits, model(IDS).logits
    assert held(model) == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert 0 < (rounded - exact).abs().max() < (0.1 if kind == "int8" else 0.7) * exact.abs().max()
    assert not any(parameter.requires_grad for name, parameter in model.named_parameters() if "_proj" in name)
    wide = {name: parameter.dtype for name, parameter in model.named_parameters() if "_proj" not in name}
    assert set(wide.values()) == {torch.float32} and len(wide) == 10  # norms and the (tied) embedding
    quantise.dequantise(model)
    assert held(model) == set() and not any(p.dtype != torch.float32 for p in model.parameters())
    with torch.no_grad():
        again = model(IDS).logits
    # int8 rounds what goes into a layer too, and that ends with it
    assert (again - rounded).abs().max() < (2e-2 if kind == "int8" else 1e-5) * exact.abs().max()


def test_bytes_of_the_quantised_layers() -> None:
    model = load("nano-minicpm", dtype=torch.bfloat16, device="cpu").model
    names = quantise.layers(model, FAMILY, Quantisation())
    before = sum(quantise.held_bytes(model.get_submodule(name)) for name in names)
    assert before == 2 * sum(model.get_submodule(name).weight.numel() for name in names)
    whole, numbers = quantise.held_bytes(model), sum(map(quantise.count, model.parameters()))
    quantise.quantise(model, FAMILY, Quantisation(), CPU)
    after = sum(quantise.held_bytes(model.get_submodule(name)) for name in names)
    assert 0.25 < after / before < 0.3
    assert quantise.held_bytes(model) <= whole - before + after
    assert sum(map(quantise.count, model.parameters())) == numbers > sum(p.numel() for p in model.parameters())
    single = load("nano-minicpm", dtype=torch.bfloat16, device="cpu", base=Quantisation(double=False)).model
    assert after < sum(quantise.held_bytes(single.get_submodule(name)) for name in names)


def test_the_same_again() -> None:
    one, two = (load("nano-minicpm", dtype=torch.float32, device="cpu", base=Quantisation()).model for _ in range(2))
    assert all(a.equal(b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("parts", [("language",), ("language", "vision")])
def test_of_a_model_with_parts(parts: tuple[str, ...], seeing_folder: Path) -> None:
    model = load(seeing_folder, dtype=torch.float32, device="cpu", base=Quantisation(parts=parts)).model
    above = {name.partition(".")[0] for name, module in model.named_modules() if quantise.is_quantised(module)}
    assert above == ({"llm"} if parts == ("language",) else {"llm", "vpm"})


def test_routers_stay_whole() -> None:
    config = MiniCPMConfig(
        vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, scale_emb=1, scale_depth=1, dim_model_base=64,
    )  # fmt: skip
    model = MiniCPMForCausalLM(config)
    quantise.quantise(model, FAMILY, Quantisation(), CPU)
    assert held(model) == {"q_proj", "k_proj", "v_proj", "o_proj", "w1", "w2", "w3"}
    assert type(model.model.layers[0].mlp.gate) is nn.Linear


def test_evaluation_leaves_the_gradient_alone() -> None:
    """On some processors bitsandbytes packs the weights at the first evaluation, in a form without a gradient."""
    model = load("nano-minicpm", dtype=torch.float32, device="cpu", base=Quantisation()).model
    weights = copy.deepcopy([p.data for p in model.parameters()])
    with torch.no_grad():
        first = model(IDS).logits
    model.train()
    embedded = model.model.embed_tokens(IDS).detach().requires_grad_()
    model(inputs_embeds=embedded).logits.sum().backward()
    assert embedded.grad is not None and embedded.grad.abs().min(-1).values.max() > 0
    assert all(p.data.equal(before) for p, before in zip(model.parameters(), weights, strict=True))
    with torch.no_grad():
        assert model.eval()(IDS).logits.equal(first)


def test_bias_is_kept() -> None:
    layer = nn.Linear(64, 64)
    made = quantise._quantised(layer, Quantisation(), CPU)
    with torch.no_grad():
        assert made(torch.zeros(1, 64)).equal(layer.bias[None])


def test_bitsandbytes_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MachineError, match=r"nf4 needs bitsandbytes.*pip install 'tunesmith\[quant\]'"):
        load("nano-minicpm", device="cpu", base=Quantisation())


@pytest.mark.parametrize("content", ["nf4", {}, {"kind": "q4", "double": True, "parts": []}, {"kind": "nf4"}])
def test_what_is_not_understood(content: object) -> None:
    with pytest.raises(ValueError, match="has not the keys|is no quantisation"):
        Quantisation.read(content)


def test_read_is_the_inverse() -> None:
    one = Quantisation("fp4", False, ("language", "vision"))
    assert Quantisation.read({"kind": "fp4", "double": False, "parts": ["language", "vision"]}) == one
    assert (str(one), str(Quantisation())) == ("fp4", "nf4 with double quantisation")
