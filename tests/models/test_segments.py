"""Packed rows in many models: each segment computes what it computes alone, or the model is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

import tunesmith.models.minicpm  # noqa: F401  (registers MiniCPM with transformers)
from tunesmith.models import segments as module
from tunesmith.models.segments import NAME, Packing, packed_inputs, packing_of

SIZES: dict[str, Any] = {
    "vocab_size": 90,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": None,
    "initializer_range": 0.2,
}
HYBRID = {"mamba_n_heads": 8, "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_d_head": 8, "num_local_experts": 0}
GPT = {"vocab_size": 90, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "pad_token_id": None,
       "bos_token_id": 1, "eos_token_id": 2, "initializer_range": 0.2}  # fmt: skip


def rope(kind: str, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 1e4, **more}}


LONGROPE = rope("longrope", original_max_position_embeddings=64, short_factor=[1.0] * 4, long_factor=[2.0] * 4)
# Windows are shorter than the segments of the tests, so that they matter.
ALONE: dict[str, dict[str, Any]] = {
    "minicpm": {**SIZES, "scale_emb": 12, "scale_depth": 1.4, "dim_model_base": 16},
    "minicpm experts": {**SIZES, "num_experts": 4},
    "minicpm longrope": {**SIZES, **LONGROPE},
    "minicpm dynamic": {**SIZES, **rope("dynamic", factor=2.0)},
    "llama": SIZES,
    "llama dynamic": {**SIZES, **rope("dynamic", factor=2.0)},
    "granite": {**SIZES, "attention_multiplier": 0.2, "residual_multiplier": 0.4},
    "qwen2 window": {**SIZES, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
    "qwen3": {**SIZES, "head_dim": 8},
    "mistral window": {**SIZES, "sliding_window": 4},
    "gemma3_text window": {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4,
                           "layer_types": ["sliding_attention", "full_attention"]},
    "minicpm3": {**SIZES, "num_key_value_heads": 4, "dim_model_base": 16, "q_lora_rank": 16, "kv_lora_rank": 16,
                 "qk_nope_head_dim": 8, "qk_rope_head_dim": 8},
    "mixtral": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2},
    "gpt2": GPT,
}  # fmt: skip
AS_THEY_ARE: dict[str, dict[str, Any]] = {  # a softcap; own attention code
    "gemma2 window": {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4},
    "gptj": {**GPT, "rotary_dim": 8},
}
REFUSED: dict[str, dict[str, Any]] = {
    "mamba": {"vocab_size": 90, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "pad_token_id": None},
    "granitemoehybrid": {**SIZES, **HYBRID, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 48},
    "lfm2": {**SIZES, "layer_types": ["conv", "full_attention"]},  # leaks over two tokens only
    # takes position_ids, but its mask does not follow them
    "opt": {"vocab_size": 90, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
            "max_position_embeddings": 64, "word_embed_proj_dim": 32, "pad_token_id": None},
}  # fmt: skip
LENGTHS = ((6, 1, 9, 2), (8, 5))


def make(kind: str) -> Any:
    """A tiny random model in float64 (float32 where transformers has no other kernel for experts)."""
    name = kind.split()[0]
    if name == "minicpm3":
        pytest.importorskip("transformers.models.minicpm3")
    config = AutoConfig.for_model(name, **{**ALONE, **AS_THEY_ARE, **REFUSED}[kind])
    return AutoModelForCausalLM.from_config(config).eval().to(torch.float32 if name == "mixtral" else torch.float64)


def rows() -> tuple[Tensor, Tensor, Tensor]:
    """Ids, segment numbers and positions of `LENGTHS`, padded."""
    tokens = max(map(sum, LENGTHS))
    segments = [[n for n, length in enumerate(row, 1) for _ in range(length)] for row in LENGTHS]
    positions = [[t for length in row for t in range(length)] for row in LENGTHS]
    filled = [[one + [0] * (tokens - len(one)) for one in what] for what in (segments, positions)]
    return torch.randint(90, (len(LENGTHS), tokens)), torch.tensor(filled[0]), torch.tensor(filled[1])


def assert_isolated(model: Any) -> None:
    """Segments give what they give alone, and change nothing in others."""
    ids, segments, positions = rows()
    # transformers' eager softmax is float32 even in a float64 model
    exact = model.config._attn_implementation == NAME and model.dtype == torch.float64
    tolerance = {"rtol": 1e-9, "atol": 1e-10} if exact else {"rtol": 1e-5, "atol": 3e-6}
    with torch.no_grad():
        packed = model(input_ids=ids, use_cache=False, **packed_inputs(model, segments, positions)).logits
        for row, number in {(line, int(n)) for line in range(len(LENGTHS)) for n in segments[line] if n}:
            here = segments[row] == number
            alone = model(input_ids=ids[row, here][None], use_cache=False).logits[0]
            torch.testing.assert_close(packed[row, here], alone, **tolerance)
            changed = torch.where(here, (ids[row] + 7) % 90, ids[row])
            other = ids.clone()
            other[row] = changed
            again = model(input_ids=other, use_cache=False, **packed_inputs(model, segments, positions)).logits
            same = segments > 0
            same[row] &= ~here
            assert (again - packed)[same].abs().max() < 1e-12 and not torch.equal(again[row, here], packed[row, here])


@pytest.mark.parametrize("kind", ALONE)
def test_models_that_compute_each_segment_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = make(kind), []
    packing = packing_of(model)
    assert isinstance(packing, Packing) and packing.attention == NAME == model.config._attn_implementation
    assert packing.longest == (64 if kind.endswith(("dynamic", "longrope")) else None)
    attend = module.segment_attention
    monkeypatch.setattr(module, "segment_attention", lambda *inputs: calls.append(1) or attend(*inputs))
    assert_isolated(model)
    assert len(calls) >= 2 * 7  # each layer in each packed call: no (T, T) mask was made


@pytest.mark.parametrize("kind", AS_THEY_ARE)
def test_models_that_stay_as_they_are(kind: str) -> None:
    model = make(kind)
    before = model.config._attn_implementation
    assert packing_of(model) == Packing(before) and model.config._attn_implementation == before
    assert_isolated(model)


@pytest.mark.parametrize("kind", ["llama", "mistral window", "minicpm"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_transformers_own_way(kind: str, attention: str) -> None:
    """What is used where "segments" is not: on a GPU, or with another implementation."""
    model = make(kind)
    model.set_attn_implementation(attention)
    assert_isolated(model)
    if attention == "eager":
        assert packing_of(model) == Packing("eager")


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_models_that_are_refused(kind: str, dtype: torch.dtype) -> None:
    model = make(kind).to(dtype).train()
    before, state = model.config._attn_implementation, torch.random.get_rng_state()
    reason = packing_of(model)
    assert isinstance(reason, str) and f"in {type(model).__name__} the tokens of one segment change" in reason
    assert model.training and model.config._attn_implementation == before
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_model_that_cannot_be_asked() -> None:
    model = make("llama")
    model.get_decoder = lambda: lambda input_ids, use_cache: None  # knows no position_ids
    reason = packing_of(model)
    assert isinstance(reason, str) and "LlamaForCausalLM cannot be called on packed rows (TypeError" in reason


def test_wrong_positions_are_found() -> None:
    model = make("gpt2")  # positions are learned: all of them count, not only their distances
    decoder = model.get_decoder()
    model.get_decoder = lambda: (
        lambda position_ids=None, **more: decoder(
            position_ids=None if position_ids is None else position_ids + 1, **more
        )
    )
    reason = packing_of(model)
    assert isinstance(reason, str) and "does not compute what it computes alone" in reason


@pytest.mark.parametrize("attention", [NAME, "sdpa"])
def test_a_mask_of_ones_leaks(attention: str) -> None:
    """The fault that this file is there for: so the tests above can fail."""
    model = make("llama")
    model.set_attn_implementation(attention)
    ids, segments, positions = rows()
    with torch.no_grad():
        right = model(input_ids=ids, use_cache=False, **packed_inputs(model, segments, positions)).logits
        wrong = model(input_ids=ids, attention_mask=torch.ones_like(ids), position_ids=positions).logits
    assert (right - wrong)[0, 6:].abs().max() > 0.05


@pytest.mark.parametrize("kind", ["llama", "mistral window"])
def test_all_other_calls_are_those_of_sdpa(kind: str) -> None:
    model = make(kind)
    ids, segments, _ = rows()
    masks = [None, (segments > 0).long(), (segments > 0).long().flip(1)]
    results = []
    for attention in ("sdpa", NAME):
        model.set_attn_implementation(attention)
        with torch.no_grad():
            logits = [model(input_ids=ids, attention_mask=mask).logits for mask in masks]
            answer = model.generate(ids, attention_mask=masks[2], max_new_tokens=5, do_sample=False, pad_token_id=0)
        results.append([*logits, answer])
    assert all(torch.equal(first, second) for first, second in zip(*results, strict=True))


def test_rows_of_one_segment_without_padding() -> None:
    model = make("llama")
    packing_of(model)
    ids = torch.randint(90, (2, 7))
    positions = torch.arange(7).expand(2, -1)
    with torch.no_grad():
        packed = model(input_ids=ids, use_cache=False, **packed_inputs(model, torch.ones_like(ids), positions)).logits
        assert torch.equal(packed, model(input_ids=ids).logits)


def test_a_rule_that_is_no_run_of_tokens_gets_the_whole_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask function is asked, not trusted: what it cannot say in one number a token is left to transformers."""
    options = {"batch_size": 1, "q_length": 8, "kv_length": 8, "allow_is_causal_skip": False, "device": "cpu"}

    def halves(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (query >= key) & (query // 4 == key // 4)

    def strided(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return halves(row, head, query, key) & ((query - key < 2) | (key % 2 == 1))

    def both_ways(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return query // 4 == key // 4

    mask = ALL_MASK_ATTENTION_FUNCTIONS[NAME]
    assert mask(mask_function=halves, **options).tolist() == [[[[0, 0, 0, 0, 4, 4, 4, 4]]]]
    for rule in (strided, both_ways):
        assert mask(mask_function=rule, **options).shape == (1, 1, 8, 8)
    assert mask(mask_function=halves, use_vmap=False, attention_mask=torch.ones(1, 8).bool(), **options).ndim == 4


def test_native_models_may_read_the_numbers() -> None:
    class Native:
        takes_segments = True

    _, segments, positions = rows()
    assert packed_inputs(Native(), segments, positions)["attention_mask"] is segments
    assert set(packed_inputs(object(), segments, positions)) == {"position_ids"}


def test_nothing_of_it_is_saved(tmp_path: Path) -> None:
    model = make("minicpm")
    assert isinstance(packing_of(model), Packing)
    model.save_pretrained(tmp_path)
    assert NAME not in json.dumps(json.loads((tmp_path / "config.json").read_text()))
