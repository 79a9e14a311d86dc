"""A forest of tokens in many models: proven to be what the rows give alone, or refused and left as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

import tunesmith.models.minicpm  # noqa: F401  (registers MiniCPM with transformers)
from tunesmith.models import segments
from tunesmith.models.segments import NAME
from tunesmith.models.transnormer import TransnormerConfig, TransnormerForCausalLM
from tunesmith.models.tree import why_no_tree

SIZES: dict[str, Any] = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                         "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
                         "initializer_range": 0.2, "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
DYNAMIC = {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}
GPT = {"vocab_size": 90, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "initializer_range": 0.2}
KNOWN: dict[str, dict[str, Any]] = {
    "minicpm": {**SIZES, "scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 16},
    "minicpm experts": {**SIZES, "num_experts": 4},
    "llama": SIZES,
    "mistral window": {**SIZES, "sliding_window": 40},
    "gpt2": GPT,
}


def make(kind: str, **more: Any) -> Any:
    config = AutoConfig.for_model(kind.split()[0], **{**KNOWN.get(kind, SIZES), **more})
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_that_can(kind: str, dtype: torch.dtype) -> None:
    model = make(kind).to(dtype).train()
    state = torch.random.get_rng_state()
    assert why_no_tree(model, 40) is None
    assert model.config._attn_implementation == NAME and model.training
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("kind", "more", "wanted"),
    [
        ("lfm2", {"layer_types": ["conv", "full_attention"]}, "does not compute what it computes alone"),
        ("gptj", {**GPT, "rotary_dim": 8}, "cannot be replaced"),
        ("mistral window", {"sliding_window": 39}, "its sliding_window of 39 tokens is shorter"),
        ("llama", {**DYNAMIC, "max_position_embeddings": 32}, "stretched in rows of more than 32 tokens"),
    ],
)
def test_models_that_cannot(kind: str, more: dict[str, Any], wanted: str) -> None:
    model = make(kind, **more)
    before = model.config._attn_implementation
    reason = why_no_tree(model, 40)
    assert reason is not None and wanted in reason
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_linear_attention_begins_with_the_state_behind_what_is_shared(dtype: torch.dtype) -> None:
    config = TransnormerConfig(vocab_size=90, decoder_embed_dim=32, decoder_layers=2, decoder_attention_heads=2,
                               glu_dim=48, hidden_dim=32)  # fmt: skip
    assert why_no_tree(TransnormerForCausalLM(config).to(dtype), 40) is None


def test_an_attention_that_leaks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real = segments.tree_attention
    monkeypatch.setattr(segments, "tree_attention", lambda q, k, v, *_: real(q, k, v, [(-1, q.shape[2], 1)]))
    reason = why_no_tree(make("llama"), 40)
    assert reason is not None and "does not compute what it computes alone" in reason
