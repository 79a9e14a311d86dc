"""The three forms of decayed linear attention are one function, in float64 to rounding, in both directions."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tunesmith.ops.lightning import (
    BLOCK,
    Decay,
    Layout,
    block_attention,
    decay_rates,
    naive_attention,
    recurrent_attention,
)

Case = tuple[Tensor, Tensor, Tensor, Tensor, "Tensor | None", "Tensor | None", int]


@st.composite
def cases(draw: Any) -> Case:
    """Queries, keys, values, rates, an attention mask or None, a first state or None, and a block size."""
    rows, heads, tokens = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 40))
    size, width = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    own = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=own, dtype=torch.float64)

    rates = torch.tensor(draw(st.lists(st.floats(1e-6, 20), min_size=heads, max_size=heads)), dtype=torch.float64)
    kind = draw(st.sampled_from(["none", "padding", "segments"]))
    mask = None
    if kind == "padding":
        mask = torch.randint(0, 2, (rows, tokens), generator=own)
    elif kind == "segments":  # numbers that grow along the row, with padding anywhere
        mask = torch.randint(0, 2, (rows, tokens), generator=own).cumsum(dim=1) + 1
        mask = mask * (torch.rand(rows, tokens, generator=own) < draw(st.sampled_from([0.5, 1.0])))
    state = random(rows, heads, size, width) if draw(st.booleans()) else None
    qkv = random(rows, heads, tokens, size), random(rows, heads, tokens, size), random(rows, heads, tokens, width)
    return (*qkv, rates, mask, state, draw(st.integers(1, tokens + 3)))


def definition(case: Case) -> tuple[Tensor, Tensor]:
    """Return output and last state by a loop over single tokens, segments and padding told apart by hand."""
    query, key, value, rates, mask, state, _ = case
    rows, heads, tokens, size = query.shape
    output = torch.zeros(rows, heads, tokens, value.shape[-1], dtype=query.dtype)
    last = torch.zeros(rows, heads, size, value.shape[-1], dtype=query.dtype) if state is None else state.clone()
    for row in range(rows):
        current = None
        for token in range(tokens):
            segment = 1 if mask is None else int(mask[row, token])
            if segment == 0:
                continue
            if current not in (None, segment):
                last[row] = 0
            current = segment
            outer = key[row, :, token, :, None] * value[row, :, token, None, :]
            last[row] = torch.exp(-rates)[:, None, None] * last[row] + outer
            output[row, :, token] = (query[row, :, token, None] @ last[row])[:, 0]
    return output, last


def real(mask: Tensor | None, like: Tensor) -> Tensor:
    return torch.ones(like.shape[0], like.shape[2], dtype=torch.bool) if mask is None else mask != 0


@settings(max_examples=150, deadline=None)
@given(cases())
def test_naive_block_and_recurrent_are_the_definition(case: Case) -> None:
    query, key, value, rates, mask, state, block = case
    where = real(mask, query)
    layout = None if mask is None else Layout.of(mask)
    expected, last = definition(case)
    naive, naive_state = naive_attention(query, key, value, Decay(rates, layout), state)
    blocks, block_state = block_attention(query, key, value, Decay(rates, layout, block), state)
    running = torch.zeros_like(last) if state is None else state
    steps = []
    for token in range(query.shape[2]):
        if layout is not None and token > 0:  # the step form knows one segment; a border is a state of zeros
            same = (layout.runs_BT[:, token] == layout.runs_BT[:, token - 1])[:, None, None, None]
            running = running * same
        parts = (x[:, :, token] for x in (query, key, value))
        output, running = recurrent_attention(*parts, rates, running, where[:, token])
        steps.append(output)
    for output in (naive, blocks, torch.stack(steps, dim=2)):
        torch.testing.assert_close(output.transpose(1, 2)[where], expected.transpose(1, 2)[where])
    for found in (naive_state, block_state, running):
        torch.testing.assert_close(found, last)


@settings(max_examples=60, deadline=None)
@given(cases())
def test_gradients_are_those_of_the_definition(case: Case) -> None:
    query, key, value, rates, mask, state, block = case
    layout, where = None if mask is None else Layout.of(mask), real(mask, query)
    found = []
    for attend in (naive_attention, block_attention):
        leaves = [x.clone().requires_grad_() for x in (query, key, value, state) if x is not None]
        output, last = attend(*leaves[:3], Decay(rates, layout, block), leaves[3] if state is not None else None)
        loss = (output.transpose(1, 2)[where].sin()).sum() + last.cos().sum()
        found.append(torch.autograd.grad(loss, leaves))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(0, 40))
def test_in_two_parts(case: Case, cut: int) -> None:
    """A prompt continued from its state is the whole prompt."""
    query, key, value, rates, _, state, block = case
    cut = min(cut, query.shape[2] - 1)
    whole, last = block_attention(query, key, value, Decay(rates, None, block), state)
    parts, decay = [], Decay(rates, None, block)
    for piece in (slice(None, cut), slice(cut, None)):
        if query[:, :, piece].shape[2]:
            output, state = block_attention(*(x[:, :, piece] for x in (query, key, value)), decay, state)
            parts.append(output)
    torch.testing.assert_close(torch.cat(parts, dim=2), whole)
    torch.testing.assert_close(state, last)


def test_rates() -> None:
    first, last = decay_rates(4, 0, 3), decay_rates(4, 2, 3)
    slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8])
    torch.testing.assert_close(first, slopes * (1 + 1e-5))
    torch.testing.assert_close(last, slopes * 1e-5, rtol=1e-2, atol=0)
    assert (last > 0).all()
    six = decay_rates(6, 0, 2) / (1 + 1e-5)
    torch.testing.assert_close(six, torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3]))
    torch.testing.assert_close(decay_rates(8, 0, 1), decay_rates(8, 0, 9))  # one layer: no division by zero


def test_steep_decay_over_many_tokens_does_not_overflow() -> None:
    """Where e^(+rate * T) would be infinite in float32."""
    tokens = 3000
    query, key, value = (torch.randn(1, 2, tokens, 4, requires_grad=True) for _ in range(3))
    rates = torch.tensor([0.9, 1e-6])
    output, state = block_attention(query, key, value, Decay(rates))
    (output.sum() + state.sum()).backward()
    exact, _ = naive_attention(query.double(), key.double(), value.double(), Decay(rates.double()))
    assert (output - exact).abs().max() <= 2e-6 * exact.abs().max()
    assert all(torch.isfinite(x.grad).all() for x in (query, key, value))


def test_low_precision_is_summed_in_float32() -> None:
    query, key, value = (torch.randn(1, 2, 2 * BLOCK + 5, 16).to(torch.bfloat16) for _ in range(3))
    rates = decay_rates(2, 1, 2)
    output, state = block_attention(query, key, value, Decay(rates))
    assert output.dtype == state.dtype == torch.float32
    exact, _ = naive_attention(query.double(), key.double(), value.double(), Decay(rates.double()))
    assert (output - exact).abs().max() <= 1e-5 * exact.abs().max()


def test_autocast_changes_nothing() -> None:
    """Training in mixed precision must not round what is summed over thousands of tokens."""
    parts = [torch.randn(1, 2, 40, 8, requires_grad=True) for _ in range(3)]
    decay, found = Decay(decay_rates(2, 1, 2), block=16), []
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output, state = block_attention(*parts, decay)
            step, _ = recurrent_attention(*(part[:, :, 0] for part in parts), decay.rate_H, state)
            found.append((output, state, step, *torch.autograd.grad(output.sum() + state.sum(), parts)))
    for one, other in zip(*found, strict=True):
        assert other.dtype == torch.float32 and torch.equal(one, other)


def test_memory_grows_linearly() -> None:
    """What is kept for backward is the inputs alone, whatever the length: no scores, no states."""
    sizes = []
    for tokens in (512, 1024):
        kept = 0

        def keep(x: Tensor) -> Tensor:
            nonlocal kept
            kept += x.numel()
            return x

        query, key, value = (torch.randn(1, 2, tokens, 8, requires_grad=True) for _ in range(3))
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            block_attention(query, key, value, Decay(decay_rates(2, 0, 2)))
        sizes.append(kept)
    assert sizes[0] <= 4 * 512 * 2 * 8 and math.isclose(sizes[1], 2 * sizes[0], rel_tol=0.02)


def test_padding_may_hold_anything() -> None:
    query, key, value = (torch.randn(1, 1, 6, 3) for _ in range(3))
    mask = torch.tensor([[0, 1, 1, 0, 1, 0]])
    layout, rates = Layout.of(mask), torch.tensor([0.5])
    before, state = block_attention(query, key, value, Decay(rates, layout))
    value = value.masked_fill(mask[:, None, :, None] == 0, torch.inf)
    after, again = block_attention(query, key, value, Decay(rates, layout))
    torch.testing.assert_close(after[:, :, mask[0] != 0], before[:, :, mask[0] != 0])
    torch.testing.assert_close(again, state)


@pytest.mark.parametrize("mask", [[[1, 1, 0, 0]], [[0, 0, 1, 1]], [[True, True, False, False]]])
def test_bool_and_number_masks(mask: list[list[int]]) -> None:
    layout = Layout.of(torch.tensor(mask))
    assert not layout.packed and not layout.holes and int(layout.counts_BT[0, -1]) == 2


def test_layout_of_packed_rows() -> None:
    layout = Layout.of(torch.tensor([[0, 3, 3, 0, 5, 5, 0], [1, 1, 1, 1, 1, 1, 0]]))
    assert layout.packed and layout.holes
    assert layout.runs_BT.tolist() == [[0, 0, 0, 0, 1, 1, 1], [0] * 7]
    assert layout.counts_BT.tolist() == [[0, 1, 2, 2, 3, 4, 4], [1, 2, 3, 4, 5, 6, 6]]
