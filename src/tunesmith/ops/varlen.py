"""Attention in rows of several segments as one call of a kernel for sequences of any length (flash attention on CUDA).

The rows are laid end to end; `starts` says where each sequence begins, so no (T, T) mask is made and nothing is computed
across segments. torch's `varlen_attn` has no CPU kernel: what runs everywhere is `segment_attention`, its reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .attention import first_visible, segment_attention

Kernel = Callable[..., Any]
"""torch.nn.attention.varlen.varlen_attn: query, key, value (tokens, heads, size), starts and lengths -> (tokens, heads, size)."""
DTYPES = (torch.bfloat16, torch.float16)
LARGEST_HEAD = 256
"""The head sizes of flash attention: multiples of 8 up to this."""


def load_kernel() -> Kernel:
    """Return torch's kernel."""
    from torch.nn.attention.varlen import varlen_attn

    kernel: Kernel = varlen_attn
    return kernel


@dataclass(frozen=True)
class Sequences:
    """The sequences of rows laid end to end.

    starts_N1 int32: where each begins, and the number of all tokens (`cu_seqlens`); `longest`: the tokens of the
    longest; `before`: how many tokens before itself a token sees at most, -1 for all of its sequence.
    """

    starts_N1: Tensor
    longest: int
    before: int

    @classmethod
    def of(cls, first_BT: Tensor) -> Sequences | None:
        """Read them from where the tokens that a token sees begin (`first_visible`), or return None.

        None: the windows of the tokens are not of one size, so the kernel has no word for them. A token that sees
        nothing but itself begins a sequence.
        """
        tokens = first_BT.shape[1]
        index_BT = torch.arange(tokens, device=first_BT.device).expand_as(first_BT)
        new_BT = first_BT == index_BT
        start_BT = torch.where(new_BT, index_BT, 0).cummax(dim=1).values
        starts_N = new_BT.flatten().nonzero().flatten()
        ends_N = torch.cat((starts_N[1:], starts_N.new_tensor([first_BT.numel()])))
        seen = (index_BT - first_BT).max()
        cut = (first_BT > start_BT).any()
        says_it = (torch.maximum(start_BT, index_BT - seen) == first_BT).all()
        # one look at the device for all of them
        longest, before, is_cut, fits = torch.stack(((ends_N - starts_N).max(), seen, cut, says_it)).tolist()
        if not fits:
            return None
        starts_N1 = torch.cat((starts_N, ends_N[-1:])).to(torch.int32)
        return cls(starts_N1, longest, before if is_cut else -1)


def fits(query_BHTK: Tensor, value_BGTV: Tensor, dropout: float) -> bool:
    """Tell whether the kernel computes attention over such heads."""
    size = query_BHTK.shape[-1]
    known = value_BGTV.is_cuda and value_BGTV.dtype in DTYPES and value_BGTV.shape[-1] == size
    return known and size % 8 == 0 and size <= LARGEST_HEAD and dropout == 0.0


def varlen_attention(
    query_BHTK: Tensor,
    key_BGTK: Tensor,
    value_BGTK: Tensor,
    sequences: Sequences,
    kernel: Kernel,
    scale: float | None = None,
) -> Tensor:
    """Return what `segment_attention` returns, (B, T, H, K), in one call of the kernel.

    Queries and keys may be of a finer dtype than the values (rotary tables in float32 under autocast): they are cast.
    """
    rows, heads, tokens, _ = query_BHTK.shape
    inputs = [x.transpose(1, 2).flatten(0, 1).to(value_BGTK.dtype) for x in (query_BHTK, key_BGTK, value_BGTK)]
    output: Tensor = kernel(
        *inputs,
        sequences.starts_N1,
        sequences.starts_N1,
        sequences.longest,
        sequences.longest,
        scale=scale,
        window_size=(sequences.before, 0),
        enable_gqa=heads != key_BGTK.shape[1],
    )
    return output.view(rows, tokens, heads, -1)


def difference(kernel: Kernel, heads: tuple[int, int], size: int, dtype: torch.dtype, device: torch.device) -> float:
    """Return how far the kernel is from `segment_attention` in float32, as a share of the largest number.

    Output and gradients are compared, in segments of one token and of several blocks of a kernel, with padding, with
    and without a window. `heads`: of queries, of keys.
    """
    own = torch.Generator().manual_seed(0)  # the global random state stays as it is
    lengths = ((1, 70, 5, 130, 94), (200, 33, 60, 1, 1, 1, 1, 1, 1, 1))
    segments_BT = torch.stack([torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in lengths])
    worst = 0.0
    for window in (None, 40):
        first_BT = first_visible(segments_BT.to(device), window)
        sequences = Sequences.of(first_BT)
        assert sequences is not None  # a window of one size
        rows, tokens = segments_BT.shape
        inputs = [
            torch.randn(rows, count, tokens, size, generator=own).to(device, dtype)
            for count in (heads[0], heads[1], heads[1])
        ]
        asked = torch.randn(rows, tokens, heads[0], size, generator=own).to(device, dtype)
        query, key, value = mine = [x.clone().requires_grad_() for x in inputs]
        output = varlen_attention(query, key, value, sequences, kernel)
        query, key, value = plain = [x.float().requires_grad_() for x in inputs]
        exact = segment_attention(query, key, value, first_BT)
        grads = (torch.autograd.grad(output, mine, asked), torch.autograd.grad(exact, plain, asked.float()))
        pairs = [(output.detach(), exact.detach()), *zip(*grads, strict=True)]
        for found, right in pairs:
            apart = float((found.float() - right).abs().max() / right.abs().max())
            worst = max(worst, math.inf if math.isnan(apart) else apart)
    return worst
