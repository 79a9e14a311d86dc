"""MiniCPM against transformers' Granite, which is the same function under other field names."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GraniteConfig, GraniteForCausalLM

from tunesmith.models.minicpm import MiniCPMConfig, MiniCPMForCausalLM

SIZES: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "initializer_range": 0.2,
    "rms_norm_eps": 1e-5,
}
ROPES: list[dict[str, Any] | None] = [
    None,
    {"rope_type": "linear", "factor": 2.0, "rope_theta": 500.0},
    {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4},
    {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "factor": 1.0,
        "original_max_position_embeddings": 32,
        "short_factor": [1.0, 1.2, 1.7, 2.5],
        "long_factor": [1.1, 2.0, 4.0, 9.0],
    },
]
LONG = torch.randint(3, 90, (2, 45), generator=torch.Generator().manual_seed(1))
SHORT = LONG[:, :20]


def pair(rope: dict[str, Any] | None, **options: Any) -> tuple[Any, Any]:
    """The same random weights as MiniCPM and as Granite."""
    config = MiniCPMConfig(
        **SIZES,
        scale_emb=8,
        scale_depth=1.3,
        dim_model_base=20,
        rope_parameters=dict(rope) if rope else None,
        **options,
    )
    twin = GraniteConfig(
        **SIZES,
        embedding_multiplier=8,
        residual_multiplier=1.3 / 3**0.5,
        logits_scaling=48 / 20,
        attention_multiplier=8**-0.5,
        rope_parameters=dict(rope) if rope else None,
        **{"tie_word_embeddings": True, **options},
    )
    mine, granite = MiniCPMForCausalLM(config).eval(), GraniteForCausalLM(twin).eval()
    granite.load_state_dict(mine.state_dict())
    return mine, granite


@pytest.mark.parametrize("rope", ROPES, ids=["none", "linear", "dynamic", "longrope"])
@pytest.mark.parametrize("options", [{}, {"tie_word_embeddings": False, "attention_bias": True}], ids=["", "untied"])
@pytest.mark.parametrize("ids", [SHORT, LONG], ids=["short", "long"])
def test_same_logits_loss_and_gradients(
    rope: dict[str, Any] | None, options: dict[str, Any], ids: torch.Tensor
) -> None:
    mine, granite = pair(rope, **options)
    labels = ids.masked_fill(ids % 3 == 0, -100)
    mask = torch.ones_like(ids)
    mask[1, 11:] = 0
    results = []
    for model in (mine, granite):
        output = model(input_ids=ids, attention_mask=mask, labels=labels, output_hidden_states=True)
        output.loss.backward()
        results.append(output)
    own, other = results
    torch.testing.assert_close(own.logits[mask.bool()], other.logits[mask.bool()], atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(own.loss, other.loss, atol=1e-5, rtol=0)
    for state, twin in zip(own.hidden_states, other.hidden_states, strict=True):
        torch.testing.assert_close(state, twin, atol=1e-3, rtol=1e-4)
    for (name, parameter), twin in zip(mine.named_parameters(), granite.parameters(), strict=True):
        assert (parameter.grad - twin.grad).norm() <= 2e-4 * twin.grad.norm() + 1e-6, name


def test_dynamic_frequencies_leave_no_trace() -> None:
    mine, _ = pair(ROPES[2])
    middle = torch.cat((LONG, LONG), dim=1)[:, :60]
    with torch.no_grad():
        fresh = mine(input_ids=LONG).logits
        mine(input_ids=middle)  # transformers' own class would now keep the longer table for LONG
        assert torch.equal(mine(input_ids=LONG).logits, fresh)


def test_longrope_beyond_its_first_length_always_takes_the_long_factors() -> None:
    """The published code chooses by its table, which has max_position_embeddings rows from the start."""
    rope = {**(ROPES[3] or {}), "original_max_position_embeddings": 16, "factor": None}
    mine, _ = pair({key: value for key, value in rope.items() if value is not None})
    rotary = mine.model.rotary_emb
    cos, _ = rotary(torch.zeros(1), torch.arange(4)[None])
    frequencies = 1.0 / (torch.tensor([1.1, 2.0, 4.0, 9.0]) * 1e4 ** (torch.arange(0, 8, 2) / 8))
    scale = (1 + torch.log(torch.tensor(2.0)) / torch.log(torch.tensor(16.0))) ** 0.5
    torch.testing.assert_close(cos[0, 3, :4], (3 * frequencies).cos() * scale)


@pytest.mark.parametrize("rope", ROPES, ids=["none", "linear", "dynamic", "longrope"])
def test_rotary_tables_are_float32_and_work_on_meta(rope: dict[str, Any] | None) -> None:
    mine, _ = pair(rope)
    expected = mine.model.rotary_emb(torch.zeros(1), torch.arange(45)[None])
    half = mine.to(torch.bfloat16).model.rotary_emb(torch.zeros(1, dtype=torch.bfloat16), torch.arange(45)[None])
    for table, exact in zip(half, expected, strict=True):
        assert table.dtype == torch.float32 and torch.isfinite(table).all()
        torch.testing.assert_close(table, exact, atol=1e-6, rtol=0)
    with torch.device("meta"):
        empty = MiniCPMForCausalLM(mine.config)
        assert empty(input_ids=torch.zeros(2, 45, dtype=torch.long)).logits.shape == (2, 45, 90)
