"""Packed rows through torch's kernel for segments: used where it is proven, on a stand-in that computes by definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from tunesmith.models import segments as module
from tunesmith.models.segments import NAME, VARLEN, Packing, packed_inputs, packing_of
from tunesmith.models.tree import why_no_tree

from ..ops.test_varlen import by_definition, leaking, off_by_one, wrong_gradient
from .test_segments import LENGTHS, rows

SIZES: dict[str, Any] = {"vocab_size": 90, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                         "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.2}  # fmt: skip


@pytest.fixture
def as_on_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let this machine do as a GPU does; return a list that grows with each call of the kernel."""
    calls: list[int] = []

    def kernel(*inputs: Any, **options: Any) -> Any:
        calls.append(1)
        return by_definition(*inputs, **options)

    monkeypatch.setattr(module, "_on_gpu", lambda model: True)
    monkeypatch.setattr(module, "fits", lambda query, value, dropout: dropout == 0.0)
    monkeypatch.setattr(module, "load_kernel", lambda: kernel)
    return calls


def model_of(kind: str) -> Any:
    if kind == "window":
        return MistralForCausalLM(MistralConfig(**SIZES, sliding_window=4)).eval().bfloat16()
    return LlamaForCausalLM(LlamaConfig(**SIZES)).eval().bfloat16()


@pytest.mark.parametrize("kind", ["plain", "window"])
def test_a_proven_kernel_computes_each_segment_alone(kind: str, as_on_gpu: list[int]) -> None:
    model = model_of(kind)
    assert packing_of(model) == Packing(VARLEN)
    model.float()
    ids, segments, positions = rows()
    as_on_gpu.clear()
    packed = model(input_ids=ids, use_cache=False, **packed_inputs(model, segments, positions)).logits
    assert len(as_on_gpu) == 2  # one call a layer
    model.set_attn_implementation("sdpa")
    for row in range(len(LENGTHS)):
        for number in range(1, len(LENGTHS[row]) + 1):
            here = segments[row] == number
            alone = model(input_ids=ids[row, here][None], use_cache=False).logits[0]
            torch.testing.assert_close(packed[row, here], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", [leaking, off_by_one, wrong_gradient])
def test_a_kernel_that_computes_something_else_is_not_used(
    wrong: Any, as_on_gpu: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of("plain")
    monkeypatch.setattr(module, "load_kernel", lambda: wrong)
    packing = packing_of(model)
    assert isinstance(packing, Packing) and packing.attention == "sdpa" == model.config._attn_implementation
    assert "torch's kernel for segments computes something else here" in packing.note


def test_a_kernel_that_is_wrong_in_this_model_only(as_on_gpu: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof on the model stands behind the one on random numbers."""
    model = model_of("plain")
    monkeypatch.setattr(module, "difference", lambda *_: 0.0)
    monkeypatch.setattr(module, "load_kernel", lambda: leaking)
    packing = packing_of(model)
    assert (
        isinstance(packing, Packing)
        and packing.attention == "sdpa"
        and "does not compute what it computes alone" in packing.note
    )


def test_a_kernel_that_fails(as_on_gpu: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("no kernel image is available\nfor this device")

    monkeypatch.setattr(module, "load_kernel", broken)
    packing = packing_of(model_of("plain"))
    assert isinstance(packing, Packing) and packing.attention == "sdpa"
    assert packing.note == "torch's kernel for segments fails here (RuntimeError: no kernel image is available)"


def test_single_precision_stays_as_it_is(as_on_gpu: list[int]) -> None:
    packing = packing_of(model_of("plain").float())
    assert isinstance(packing, Packing) and packing.attention == "sdpa" and "half precision" in packing.note
    assert as_on_gpu == []


@pytest.mark.parametrize("kind", ["plain", "window"])
def test_what_does_not_fit_gets_the_whole_mask(
    kind: str, as_on_gpu: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dropout, another dtype, heads of two sizes: the same numbers, without the kernel."""
    model = model_of(kind)
    packing_of(model)
    model.float()
    ids, segments, positions = rows()
    inputs = {"input_ids": ids, "use_cache": False, **packed_inputs(model, segments, positions)}
    with torch.no_grad():
        through_kernel = model(**inputs).logits
        monkeypatch.setattr(module, "fits", lambda *_: False)
        as_on_gpu.clear()
        torch.testing.assert_close(model(**inputs).logits, through_kernel, rtol=1e-4, atol=1e-5)
        assert as_on_gpu == []
        monkeypatch.undo()
        torch.testing.assert_close(model(**inputs).logits, through_kernel, rtol=1e-4, atol=1e-5)  # a CPU has no kernel


def test_rows_may_share_tokens_afterwards(as_on_gpu: list[int]) -> None:
    model = model_of("plain")
    assert packing_of(model) == Packing(VARLEN)
    assert why_no_tree(model, 64) is None and model.config._attn_implementation == NAME
