"""A kernel is used if it is the block form on this machine, in every layer; else the block form stays, and why is said."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from tunesmith.edges.fla import FlaAttention
from tunesmith.generate.kernels import BOUND, install, use_kernel
from tunesmith.models.load import load_model
from tunesmith.models.transnormer import TransnormerTokenMixer
from tunesmith.ops.lightning import Decay, block_attention, naive_attention

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def kernel(*qkv: Tensor, g_gamma: Tensor, initial_state: Tensor | None, cu_seqlens: Tensor | None, **_: Any) -> Any:
    """The definition, with the arguments of fla-core's `chunk_simple_gla`."""
    decay, starts = Decay(-g_gamma), cu_seqlens
    if starts is None:
        output, last = naive_attention(*(x.transpose(1, 2) for x in qkv), decay, initial_state)
        return output.transpose(1, 2).to(qkv[0].dtype), last
    found = []
    for number, (start, end) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        state = None if initial_state is None else initial_state[number : number + 1]
        found.append(naive_attention(*(x[:, start:end].transpose(1, 2) for x in qkv), decay, state))
    output = torch.cat([output.transpose(1, 2) for output, _ in found], dim=1)
    return output.to(qkv[0].dtype), torch.cat([last for _, last in found])


@pytest.fixture
def model() -> Any:
    return load_model("nano-transnormer", dtype="float32", device="cpu")


def mixers(model: Any) -> list[TransnormerTokenMixer]:
    return [module for module in model.modules() if isinstance(module, TransnormerTokenMixer)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_a_kernel_that_agrees_is_used_in_every_layer(model: Any, dtype: torch.dtype) -> None:
    ids = torch.arange(3, 23).view(2, 10)
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1, 1], [1] * 6 + [2] * 4])
    with torch.no_grad():
        plain = model(input_ids=ids, attention_mask=mask).logits
    said = install(mixers(model), kernel, CPU, dtype)
    assert said.startswith("TransNormerLLM's attention: fla-core's kernel; it differs from the block form by ")
    assert all(isinstance(mixer.attend, FlaAttention) for mixer in mixers(model))
    assert len({id(mixer.attend) for mixer in mixers(model)}) == 1
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=mask).logits
    torch.testing.assert_close(found[mask != 0], plain[mask != 0], rtol=1e-4, atol=1e-4)


def _other_decay(*qkv: Tensor, g_gamma: Tensor, **options: Any) -> Any:
    """That of fla-core's chunk_lightning_attn in a first layer: linear in the head's number."""
    heads = len(g_gamma)
    return kernel(*qkv, g_gamma=-8 / heads * torch.arange(heads), **options)


def _one_head(*qkv: Tensor, g_gamma: Tensor, **options: Any) -> Any:
    return kernel(*qkv, g_gamma=g_gamma * torch.tensor([2.0] + [1.0] * (len(g_gamma) - 1)), **options)


def _scaled(query: Tensor, *kv: Tensor, **options: Any) -> Any:
    return kernel(query * query.shape[-1] ** -0.5, *kv, **options)


def _without_state(*qkv: Tensor, initial_state: Tensor | None, **options: Any) -> Any:
    return kernel(*qkv, initial_state=None if initial_state is None else 0 * initial_state, **options)


def _one_sequence(*qkv: Tensor, cu_seqlens: Tensor | None, **options: Any) -> Any:
    """The second segment of the first row goes on from the first one."""
    if cu_seqlens is None:
        return kernel(*qkv, cu_seqlens=None, **options)
    _, last = kernel(*qkv, cu_seqlens=cu_seqlens, **options)
    options["initial_state"] = torch.stack([options["initial_state"][0], last[0], options["initial_state"][2]])
    return kernel(*qkv, cu_seqlens=cu_seqlens, **options)


def _no_key_gradient(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Any:
    return kernel(query, key.detach() + 0 * key, value, **options)


def _not_a_number(*qkv: Tensor, **options: Any) -> Any:
    output, last = kernel(*qkv, **options)
    return output, last * torch.nan


def _small_head(*qkv: Tensor, **options: Any) -> Any:
    """The head that forgets most, whose numbers are the smallest, is 6 % too large."""
    output, last = kernel(*qkv, **options)
    return torch.cat([1.06 * output[:, :, :1], output[:, :, 1:]], dim=2), last


WRONG = [
    _other_decay,
    _one_head,
    _small_head,
    _scaled,
    _without_state,
    _one_sequence,
    _no_key_gradient,
    _not_a_number,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_kernel_that_differs_is_refused(model: Any, wrong: Any) -> None:
    said = install(mixers(model), wrong, CPU, torch.bfloat16)
    assert said.startswith("TransNormerLLM's attention: the block form; fla-core's kernel differs from it in layer 0 (")
    assert f"at most {BOUND:.2g} is allowed" in said
    assert all(mixer.attend is block_attention for mixer in mixers(model))


def test_a_kernel_that_fails_is_refused(model: Any) -> None:
    def failing(*_: Any, **__: Any) -> Any:
        raise RuntimeError("out of resource: shared memory\nRequired: 300000")

    said = install(mixers(model), failing, CPU, torch.bfloat16)
    assert said == (
        "TransNormerLLM's attention: the block form; fla-core's kernel fails here "
        "(RuntimeError: out of resource: shared memory)."
    )
    assert all(mixer.attend is block_attention for mixer in mixers(model))


def test_nothing_is_imported_without_a_gpu_or_for_another_model(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fla", None)  # an import would fail, and that would be said
    assert use_kernel(model, CPU, torch.bfloat16) is None
    assert use_kernel(torch.nn.Linear(2, 2), CUDA, torch.bfloat16) is None
    assert all(mixer.attend is block_attention for mixer in mixers(model))


def test_what_is_said_on_a_gpu_without_the_kernel(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fla", None)
    assert use_kernel(model, CUDA, torch.bfloat16) == (
        "TransNormerLLM's attention: the block form; fla-core is not installed; pip install 'tunesmith[fla]' brings it."
    )
    for dtype in (torch.float32, torch.float16):
        said = use_kernel(model, CUDA, dtype)
        assert said == "TransNormerLLM's attention: the block form; fla-core's kernel is used in bfloat16 alone."
    assert all(mixer.attend is block_attention for mixer in mixers(model))
