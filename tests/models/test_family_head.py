"""The output head as one matrix, where it is one: the same logits; and what it says of its size."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.models import auto
from tunesmith.models.family import Head
from tunesmith.models.load import load


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("divisor", "multiplier"), [(1.0, 1.0), (9.0, 1.0), (3.0, 0.25)])
def test_one_matrix(bias: bool, divisor: float, multiplier: float) -> None:
    head, hidden = Head(nn.Linear(6, 11, bias=bias), divisor, multiplier), torch.randn(5, 6)
    matrix = head.matrix
    assert head.words == 11
    if bias and multiplier != 1.0:  # the bias would be multiplied too
        assert matrix is None
    else:
        assert matrix is not None
        logits = nn.functional.linear(hidden * matrix.scale, matrix.weight_VD, matrix.bias_V)
        torch.testing.assert_close(logits, head(hidden))


def test_what_is_more_than_a_matrix() -> None:
    class Other(nn.Linear):
        """Quantised and shared-out layers are classes of their own."""

    hooked, read = nn.Linear(6, 11), nn.Linear(6, 11)
    hooked.register_forward_pre_hook(lambda module, inputs: inputs)
    read.register_forward_hook(lambda module, inputs, output: None)
    for module in (Other(6, 11), hooked, read):
        head = Head(module)
        assert head.matrix is None and head.words == 11
    assert Head(nn.Linear(6, 11), softcap=30.0).matrix is None
    assert Head(nn.Identity()).matrix is None and Head(nn.Identity()).words is None


def test_heads_of_models() -> None:
    loaded = load("nano-minicpm", dtype=torch.float32)
    head = loaded.family.head(loaded.model)
    assert head is not None and head.matrix is not None and head.divisor != 1.0
    assert head.matrix.scale == 1 / head.divisor and head.words == len(head.matrix.weight_VD)


def test_a_head_with_an_adapter() -> None:
    sizes = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4))
    assert auto.FAMILY.head(model).matrix is not None  # type: ignore[union-attr]
    tuned = inject_adapter_in_model(LoraConfig(r=2, target_modules=["lm_head"]), model)
    head = auto.FAMILY.head(tuned)
    assert head is not None and head.matrix is None and head.words == 90
