"""Attention by segments against one call with the whole mask: the same numbers and gradients, and nothing leaks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tunesmith.ops import attention as module
from tunesmith.ops.attention import first_visible, full_attention, segment_attention


def numbers(lengths: list[list[int]]) -> Tensor:
    """The segment of each token, 0 behind the last one."""
    tokens = max(map(sum, lengths))
    rows = [[n for n, length in enumerate(row, 1) for _ in range(length)] for row in lengths]
    return torch.tensor([row + [0] * (tokens - len(row)) for row in rows])


def whole_mask(segments_BT: Tensor, window: int | None) -> Tensor:
    """(B, 1, T, T), True where a token sees another: the definition. Each token of the padding sees itself alone."""
    index = torch.arange(segments_BT.shape[1])
    same = (segments_BT[:, :, None] == segments_BT[:, None, :]) & (segments_BT[:, :, None] > 0)
    back = index[:, None] - index[None, :]
    near = (back >= 0) & (back < (window or len(index)))
    return ((same & near) | (back == 0))[:, None]


def tensors(batch: int, tokens: int, heads: tuple[int, int], sizes: tuple[int, int]) -> list[Tensor]:
    shapes = [(heads[0], sizes[0]), (heads[1], sizes[0]), (heads[1], sizes[1])]
    return [torch.randn(batch, tokens, h, k, dtype=torch.float64).transpose(1, 2).requires_grad_() for h, k in shapes]


lengths_of_rows = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    lengths=lengths_of_rows,
    window=st.none() | st.integers(1, 5),
    groups=st.integers(1, 2),
    shared=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    scale=st.none() | st.floats(0.1, 2),
    seed=st.integers(0, 2**16),
)
def test_same_value_and_gradients(
    lengths: list[list[int]],
    window: int | None,
    groups: int,
    shared: int,
    sizes: tuple[int, int],
    scale: float | None,
    seed: int,
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        segments = numbers(lengths)
        query, key, value = tensors(*segments.shape, (groups * shared, groups), sizes)
        # padding as transformers has it: each token a segment of its own
        alone = torch.where(segments > 0, segments, 100 + torch.arange(segments.shape[1]))
        mine = segment_attention(query, key, value, first_visible(alone, window), scale)
        wide = [x.repeat_interleave(shared, dim=1) for x in (key, value)]
        plain = scaled_dot_product_attention(query, *wide, attn_mask=whole_mask(segments, window), scale=scale)
        torch.testing.assert_close(mine, plain.transpose(1, 2), rtol=1e-12, atol=1e-12)
        up = torch.randn_like(mine)
        for first, second in zip(
            torch.autograd.grad(mine, (query, key, value), up),
            torch.autograd.grad(plain.transpose(1, 2), (query, key, value), up),
            strict=True,
        ):
            torch.testing.assert_close(first, second, rtol=1e-11, atol=1e-11)


def test_first_visible() -> None:
    segments = torch.tensor([[1, 1, 1, 2, 2, 0, 0]])
    assert first_visible(segments).tolist() == [[0, 0, 0, 3, 3, 5, 5]]
    assert first_visible(segments, window=2).tolist() == [[0, 0, 1, 3, 3, 5, 5]]
    assert first_visible(segments, window=1).tolist() == [[0, 1, 2, 3, 4, 5, 6]]


def test_nothing_leaks_not_even_a_nan() -> None:
    query, key, value = (x.detach() for x in tensors(1, 9, (4, 2), (8, 8)))
    first = first_visible(numbers([[4, 3, 2]]))
    before = segment_attention(query, key, value, first)
    for x in (query, key, value):
        x[:, :, 4:7] = float("nan")
    after = segment_attention(query, key, value, first)
    assert torch.equal(before[:, :4], after[:, :4]) and torch.equal(before[:, 7:], after[:, 7:])
    assert after[:, 4:7].isnan().all()


def test_padding_and_equal_lengths_are_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []

    def count(query: Tensor, *rest: Tensor, **options: object) -> Tensor:
        shapes.append(tuple(query.shape))
        return scaled_dot_product_attention(query, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "scaled_dot_product_attention", count)
    query, key, value = tensors(2, 40, (2, 1), (4, 4))
    segments = torch.arange(40).repeat(2, 1)
    segments[:, :10] = 100
    segments[:, 10:20] = 101
    segment_attention(query, key, value, first_visible(segments))
    assert shapes == [(2, 2, 10, 4), (20, 2, 1, 4)] * 2


def test_dropout() -> None:
    query, key, value = tensors(1, 12, (2, 2), (4, 4))
    first = first_visible(numbers([[6, 6]]))
    plain = segment_attention(query, key, value, first)
    torch.testing.assert_close(segment_attention(query, key, value, first, dropout=1e-9), plain)
    many = torch.stack([segment_attention(query, key, value, first, dropout=0.3) for _ in range(400)])
    assert not torch.equal(many[0], plain) and (many.mean(0) - plain).abs().max() < 0.3


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 6)), min_size=1, max_size=6))
def test_full_attention_is_the_one_of_each_sequence(lengths: list[tuple[int, int]]) -> None:
    queries, keys = (list(column) for column in zip(*lengths, strict=True))
    own = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(sum(counts), 2, size, dtype=torch.float64, generator=own, requires_grad=True)
        for counts, size in ((queries, 8), (keys, 8), (keys, 5))
    )
    output = full_attention(query, key, value, queries, keys)
    mask = torch.block_diag(*(torch.ones(*pair) for pair in lengths)).bool()
    plain = scaled_dot_product_attention(*(x.transpose(0, 1) for x in (query, key, value)), attn_mask=mask)
    torch.testing.assert_close(output, plain.transpose(0, 1))
    weights = torch.randn(output.shape, dtype=torch.float64, generator=own)
    found = torch.autograd.grad((output * weights).sum(), (query, key, value))
    expected = torch.autograd.grad((plain.transpose(0, 1) * weights).sum(), (query, key, value))
    torch.testing.assert_close(found, expected)


def test_full_attention_takes_one_call_for_neighbours_of_one_length(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: list[tuple[int, ...]] = []

    def counted(query: Tensor, *rest: Tensor) -> Tensor:
        shapes.append(tuple(query.shape))
        return scaled_dot_product_attention(query, *rest)

    monkeypatch.setattr(module, "scaled_dot_product_attention", counted)
    x = torch.randn(14, 2, 4)
    full_attention(x, x, x, [3, 3, 3, 5], [3, 3, 3, 5])
    assert shapes == [(3, 2, 3, 4), (1, 2, 5, 4)]
