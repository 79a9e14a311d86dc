"""Attention in rows of several segments, computed a segment at a time: causal (text), and full (pictures).

Which tokens see which is one number a token: token t sees the tokens first[t] to t of its row. So a segment, a sliding
window inside it and causality are said without a (T, T) mask, and nothing is computed across segments. On a CPU one
call a segment takes half the time of one call with a block-diagonal mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def first_visible(segments_BT: Tensor, window: int | None = None) -> Tensor:
    """Return first_BT int64: where the tokens that a token sees begin.

    segments_BT: the number of the segment of each token, the same for neighbours in a segment only. Padding (0) counts
    as a segment. `window`: how many tokens a token sees at most, itself included.
    """
    index_T = torch.arange(segments_BT.shape[1], device=segments_BT.device)
    new_BT = torch.ones_like(segments_BT, dtype=torch.bool)
    new_BT[:, 1:] = segments_BT[:, 1:] != segments_BT[:, :-1]
    first_BT = torch.where(new_BT, index_T, 0).cummax(dim=1).values
    return first_BT if window is None else torch.maximum(first_BT, index_T - (window - 1))


def segment_attention(
    query_BHTK: Tensor,
    key_BGTK: Tensor,
    value_BGTV: Tensor,
    first_BT: Tensor,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Return softmax(scale * query key^T) value over the tokens first[t] ... t, as (B, T, H, V).

    B rows, T tokens, H query heads, G key heads (H a multiple of G: grouped queries), K and V head sizes; `scale` is
    1 / sqrt(K) by default. first_BT int64 as from `first_visible`. Exact in both directions; each segment may stand
    alone in another row and gives the same numbers.
    """
    rows, heads, tokens, _ = query_BHTK.shape
    runs = _runs(first_BT)
    # All rows one behind the other. One split and one cat: slices of their own would each cost a gradient of full size.
    joined = [x.transpose(0, 1).flatten(1, 2) for x in (query_BHTK, key_BGTK, value_BGTV)]  # (heads, B * T, K)
    pieces = zip(*(x.split([run.length * run.count for run in runs], dim=1) for x in joined), strict=True)
    outputs = []
    for run, parts in zip(runs, pieces, strict=True):
        query, key, value = (x.unflatten(1, (run.count, run.length)).transpose(0, 1) for x in parts)
        output = scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=run.mask,
            dropout_p=dropout,
            is_causal=run.mask is None,
            scale=scale,
            enable_gqa=heads != key.shape[1],
        )
        outputs.append(output.transpose(1, 2).flatten(0, 1))  # (tokens of the run, H, V)
    return torch.cat(outputs).view(rows, tokens, heads, -1)


@dataclass
class _Run:
    """Segments of one length one behind the other, computed in one call: `count` times `length` tokens.

    `mask` (length, length), True where a token sees another: only where a window cuts a segment.
    """

    length: int
    count: int = 1
    mask: Tensor | None = None


def _runs(first_BT: Tensor) -> list[_Run]:
    """Return the segments of all rows, in order. Padding is many segments of one token, and one run."""
    tokens, first_N = first_BT.shape[1], first_BT.flatten()
    index_T = torch.arange(tokens, device=first_BT.device)
    # Only the first token of a segment sees nothing but itself: behind it even a window holds a neighbour.
    starts_S = (first_BT == index_T).flatten().nonzero().flatten()
    ends_S = torch.cat((starts_S[1:], starts_S.new_tensor([len(first_N)])))
    cut_S = first_N[ends_S - 1] > starts_S % tokens  # the last token sees not all of its segment
    runs: list[_Run] = []
    for start, end, cut in zip(starts_S.tolist(), ends_S.tolist(), cut_S.tolist(), strict=True):
        length = end - start
        if cut:
            first_L = first_N[start:end] - start % tokens
            index_L = index_T[:length]
            runs.append(_Run(length, mask=(index_L >= first_L[:, None]) & (index_L <= index_L[:, None])))
        elif runs and runs[-1].length == length and runs[-1].mask is None:
            runs[-1].count += 1
        else:
            runs.append(_Run(length))
    return runs


def full_attention(
    query_NHK: Tensor, key_MHK: Tensor, value_MHV: Tensor, queries: Sequence[int], keys: Sequence[int]
) -> Tensor:
    """Return softmax(query key^T / sqrt(K)) value inside each of several sequences, not causal, as (N, H, V).

    The sequences stand one behind the other: the i-th has queries[i] of the N queries and keys[i] of the M keys (H
    heads, K and V head sizes). Neighbours of the same lengths are computed in one call.
    """
    runs = [(*lengths, len(list(group))) for lengths, group in groupby(zip(queries, keys, strict=True))]
    pieces = zip(
        query_NHK.split([run[0] * run[2] for run in runs]),
        key_MHK.split([run[1] * run[2] for run in runs]),
        value_MHV.split([run[1] * run[2] for run in runs]),
        strict=True,
    )
    outputs = []
    for (_, _, count), parts in zip(runs, pieces, strict=True):
        query, key, value = (x.unflatten(0, (count, -1)).transpose(1, 2) for x in parts)  # (count, H, length, K)
        outputs.append(scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)
