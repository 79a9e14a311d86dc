"""Attention in a tree of tokens: a token sees its ancestors and itself, so what rows share is computed once.

Rows that begin alike are laid out as a forest: a run of tokens for what they share, and a run for how each goes on. A run
is (parent, length, count): `count` times `length` tokens, all behind the run number `parent` (-1: they begin a row), which
has one copy and stands before it. The tokens of all runs stand one behind the other, in order.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from .lightning import Attend, Decay

Run = tuple[int, int, int]
"""(parent, length, count)."""


def tree_attention(
    query_BHTK: Tensor,
    key_BGTK: Tensor,
    value_BGTV: Tensor,
    runs: Sequence[Run],
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return softmax(scale * query key^T) value over each token's ancestors and itself, as (B, T, H, V).

    B is 1. T tokens, H query heads, G key heads (H a multiple of G: grouped queries), K and V head sizes; `scale` is
    1 / sqrt(K) by default. Each path from a root to a leaf gives what it gives alone in a causal row. One call a run: a
    mask over all tokens would compute what no token sees.
    """
    heads, groups = query_BHTK.shape[1], key_BGTK.shape[1]
    if heads != groups and query_BHTK.is_cuda:  # its kernels that take a mask take no groups
        key_BGTK, value_BGTV = (x.repeat_interleave(heads // groups, dim=1) for x in (key_BGTK, value_BGTV))
    # One split and one cat: slices of their own would each cost a gradient of full size.
    sizes = [length * count for _, length, count in runs]
    queries, keys, values = (x.split(sizes, dim=2) for x in (query_BHTK, key_BGTK, value_BGTV))
    seen: list[tuple[Tensor, ...]] = []  # of each run, what those behind it see: keys and values
    outputs = []
    for number, (parent, length, count) in enumerate(runs):
        query, key, value = (
            x[number][0].unflatten(1, (count, length)).transpose(0, 1) for x in (queries, keys, values)
        )
        mask = None
        if parent >= 0:
            key, value = (
                torch.cat((before.expand(count, -1, -1, -1), own), dim=2)
                for before, own in zip(seen[parent], (key, value), strict=True)
            )
            mask = torch.ones(length, key.shape[2], dtype=torch.bool, device=key.device).tril(key.shape[2] - length)
        output = scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=dropout,
            is_causal=mask is None,
            scale=scale,
            enable_gqa=heads != key.shape[1],
        )
        seen.append((key, value))
        outputs.append(output.transpose(1, 2).flatten(0, 1))  # (tokens of the run, H, V)
    return torch.cat(outputs)[None]


def tree_linear_attention(
    query_BHTK: Tensor, key_BHTK: Tensor, value_BHTV: Tensor, decay: Decay, runs: Sequence[Run], attend: Attend
) -> Tensor:
    """Return linear attention in a forest, (B, H, T, V): each run begins with the state behind its parent.

    B is 1; `attend` is `lightning.block_attention` or what stands in for it; `decay` has no layout.
    """
    sizes = [length * count for _, length, count in runs]
    queries, keys, values = (x.split(sizes, dim=2) for x in (query_BHTK, key_BHTK, value_BHTV))
    states: list[Tensor] = []
    outputs = []
    for number, (parent, length, count) in enumerate(runs):
        query, key, value = (
            x[number][0].unflatten(1, (count, length)).transpose(0, 1) for x in (queries, keys, values)
        )
        first = states[parent].expand(count, -1, -1, -1).contiguous() if parent >= 0 else None
        output, state = attend(query, key, value, decay, first)
        states.append(state)
        outputs.append(output.transpose(0, 1).flatten(1, 2))  # (H, tokens of the run, V)
    return torch.cat(outputs, dim=1)[None]
