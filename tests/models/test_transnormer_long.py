"""What a token costs does not grow with the row: counted operations and bytes, not times."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tunesmith.models.minicpm import MiniCPMConfig, MiniCPMForCausalLM
from tunesmith.models.transnormer import TransnormerForCausalLM
from tunesmith.models.transnormer_config import TransnormerConfig

SHORT, LONG = 256, 2048


def linear() -> Any:
    config = TransnormerConfig(
        vocab_size=64, decoder_embed_dim=32, hidden_dim=32, glu_dim=64, decoder_layers=2, decoder_attention_heads=2
    )
    return TransnormerForCausalLM(config)


def softmax() -> Any:
    config = MiniCPMConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2
    )
    model = MiniCPMForCausalLM(config)
    model.set_attn_implementation("eager")  # the counter does not know torch's fused kernel for the CPU
    return model


def training_operations(model: Any, tokens: int) -> float:
    """Operations of forward and backward for each token."""
    ids = torch.randint(3, 64, (1, tokens))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, use_cache=False).logits.square().mean().backward()
    return counter.get_total_flops() / tokens


@torch.no_grad()
def step_operations(model: Any, tokens: int) -> float:
    """Operations of one more token behind `tokens` others."""
    cache = model.eval()(input_ids=torch.randint(3, 64, (1, tokens)), use_cache=True).past_key_values
    with FlopCounterMode(display=False) as counter:
        model(input_ids=torch.tensor([[5]]), past_key_values=cache, use_cache=True)
    return float(counter.get_total_flops())


@pytest.mark.parametrize("operations", [training_operations, step_operations])
def test_operations_a_token(operations: Any) -> None:
    short, long = (operations(linear(), tokens) for tokens in (SHORT, LONG))
    assert long == pytest.approx(short, rel=0.01)
    grown = operations(softmax(), LONG) / operations(softmax(), SHORT)
    assert grown > 2  # the counter sees what grows


@torch.no_grad()
def test_the_cache_does_not_grow() -> None:
    sizes = []
    for tokens in (SHORT, LONG):
        cache = linear().eval()(input_ids=torch.randint(3, 64, (1, tokens)), use_cache=True).past_key_values
        sizes.append([state.numel() for state in cache.states])
    assert sizes[0] == sizes[1] == [2 * 32 * 16, 2 * 16 * 16]  # LRPE doubles the keys of the first layer


def test_bytes_kept_for_backward_a_token() -> None:
    kept = []
    for tokens in (SHORT, LONG):
        total = 0

        def keep(x: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += x.numel() * x.element_size()
            return x

        ids = torch.randint(3, 64, (1, tokens))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            linear()(input_ids=ids, use_cache=False)
        kept.append(total / tokens)
    assert kept[1] == pytest.approx(kept[0], rel=0.05)
