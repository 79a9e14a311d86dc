"""Segments as sequences of one kernel call: the index arithmetic, with a reference function in place of the kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from tunesmith.ops.attention import first_visible, segment_attention
from tunesmith.ops.varlen import Sequences, difference, fits, load_kernel, varlen_attention

CPU = torch.device("cpu")


def by_definition(
    query: Tensor, key: Tensor, value: Tensor, starts_q: Tensor, starts_k: Tensor, longest_q: int, longest_k: int,
    *, scale: float | None = None, window_size: tuple[int, int] = (-1, -1), enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """What torch documents of `varlen_attn`: each sequence alone; -1 is no bound on that side."""
    assert starts_q.dtype == torch.int32 and torch.equal(starts_q, starts_k) and longest_q == longest_k
    assert starts_q[0] == 0 and starts_q[-1] == len(query) and int(starts_q.diff().max()) == longest_q
    outputs = []
    for start, end in zip(starts_q[:-1].tolist(), starts_q[1:].tolist(), strict=True):
        index = torch.arange(end - start)
        back = index[:, None] - index
        sees = (back >= -window_size[1]) & ((back <= window_size[0]) | (window_size[0] < 0))
        parts = (x[start:end].transpose(0, 1)[None] for x in (query, key, value))
        output = scaled_dot_product_attention(*parts, attn_mask=sees, scale=scale, enable_gqa=enable_gqa)
        outputs.append(output[0].transpose(0, 1))
    return torch.cat(outputs)


rows_of_segments = st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(
    lengths=rows_of_segments, window=st.none() | st.integers(1, 7), groups=st.integers(1, 2), seed=st.integers(0, 99)
)
def test_the_same_as_segment_by_segment(lengths: list[list[int]], window: int | None, groups: int, seed: int) -> None:
    """Padding behind a row is segments of one token, as transformers numbers it."""
    tokens = max(map(sum, lengths))
    numbers = [[n for n, length in enumerate(row) for _ in range(length)] for row in lengths]
    filled = [row + list(range(100, 100 + tokens - len(row))) for row in numbers]
    first_BT = first_visible(torch.tensor(filled), window)
    own = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(len(lengths), count, tokens, 8, dtype=torch.float64, generator=own, requires_grad=True)
        for count in (2 * groups, groups, groups)
    )
    sequences = Sequences.of(first_BT)
    assert sequences is not None
    mine = varlen_attention(query, key, value, sequences, by_definition, 0.3)
    plain = segment_attention(query, key, value, first_BT, 0.3)
    torch.testing.assert_close(mine, plain)
    up = torch.randn(mine.shape, dtype=torch.float64, generator=own)
    torch.testing.assert_close(*(torch.autograd.grad(one, (query, key, value), up) for one in (mine, plain)))


def test_where_sequences_begin() -> None:
    segments = torch.tensor([[1, 1, 1, 2, 2], [1, 1, 1, 1, 9]])
    plain = Sequences.of(first_visible(segments))
    assert plain is not None and plain.starts_N1.tolist() == [0, 3, 5, 9, 10]
    assert (plain.longest, plain.before) == (4, -1)
    window = Sequences.of(first_visible(segments, 3))
    assert window is not None and (window.longest, window.before) == (4, 2) and len(window.starts_N1) == 5
    uncut = Sequences.of(first_visible(segments, 4))
    assert uncut is not None and uncut.before == -1  # no segment is longer than the window


def test_windows_of_several_sizes_have_no_word() -> None:
    assert Sequences.of(torch.tensor([[0, 0, 0, 0, 3]])) is None
    assert Sequences.of(torch.tensor([[0, 0, 1, 2, 2]])) is None


def test_queries_in_a_finer_dtype_are_cast() -> None:
    seen: list[torch.dtype] = []

    def kernel(*inputs: Any, **options: Any) -> Tensor:
        seen.extend(x.dtype for x in inputs[:3])
        return by_definition(*inputs, **options)

    sequences = Sequences.of(torch.zeros(1, 4, dtype=torch.int64))
    assert sequences is not None
    x = torch.randn(1, 2, 4, 8)
    assert varlen_attention(x, x, x.bfloat16(), sequences, kernel).dtype == torch.bfloat16
    assert seen == [torch.bfloat16] * 3


def test_what_fits() -> None:
    """Nothing on a CPU; on a GPU half precision, one head size that is a multiple of 8, and no dropout."""

    class OnGpu:
        is_cuda = True

        def __init__(self, size: int, dtype: torch.dtype = torch.bfloat16) -> None:
            self.shape, self.dtype = (1, 1, 1, size), dtype

    one: Any = OnGpu(64)
    assert not fits(torch.zeros(1, 1, 1, 64), torch.zeros(1, 1, 1, 64).bfloat16(), 0.0)
    assert fits(one, one, 0.0) and not fits(one, one, 0.1)
    refused: list[Any] = [OnGpu(60), OnGpu(264), OnGpu(64, torch.float32)]
    assert not any(fits(bad, bad, 0.0) for bad in refused)
    other: Any = OnGpu(32)
    assert not fits(one, other, 0.0)


def test_the_proof_knows_a_right_kernel() -> None:
    assert difference(by_definition, (4, 2), 16, torch.float32, CPU) < 1e-5
    assert 0 < difference(by_definition, (2, 2), 8, torch.bfloat16, CPU) < 2**-5


def leaking(*inputs: Any, **options: Any) -> Tensor:
    """Neighbours share a sequence."""
    starts = inputs[3][[0, -1]]
    total = int(starts[-1])
    return by_definition(*inputs[:3], starts, starts, total, total, **options)


def off_by_one(*inputs: Any, window_size: tuple[int, int], **options: Any) -> Tensor:
    """A window is one token short."""
    return by_definition(*inputs, window_size=(window_size[0] - (window_size[0] > 0), window_size[1]), **options)


def wrong_gradient(query: Tensor, key: Tensor, value: Tensor, *inputs: Any, **options: Any) -> Tensor:
    """The output is right; half of the keys' gradient is lost."""
    return by_definition(query, key * 0.5 + key.detach() * 0.5, value, *inputs, **options)


@pytest.mark.parametrize("kernel", [leaking, off_by_one, wrong_gradient])
def test_the_proof_finds_a_wrong_kernel(kernel: Callable[..., Tensor]) -> None:
    assert difference(kernel, (4, 2), 16, torch.bfloat16, CPU) > 2**-5


def test_not_a_number_is_a_difference() -> None:
    assert difference(lambda *x, **o: by_definition(*x, **o) * float("nan"), (2, 2), 8, torch.float32, CPU) == float(
        "inf"
    )


def test_torchs_kernel_takes_these_arguments() -> None:
    """It has no CPU kernel, but says so only when it is called with what it takes."""
    sequences = Sequences.of(torch.zeros(1, 4, dtype=torch.int64))
    assert sequences is not None
    x = torch.randn(1, 2, 4, 8).bfloat16()
    with pytest.raises((NotImplementedError, RuntimeError), match="CPU|cpu|not available|not implemented"):
        varlen_attention(x, x, x, sequences, load_kernel(), 0.3)
