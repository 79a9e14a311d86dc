"""The perceiver resampler of MiniCPM-V 2.0: a fixed number of learned queries reads the patches of a picture.

Y = LN_post(MHA(q = LN_q(query) + pos_embed, k = K0 + P, v = K0)) proj,  K0 = LN_kv(X Wkv^T)

X are the tower's features of one picture and P the sine-cosine code of its grid, built for each grid. Source: the
published resampler.py of MiniCPM-V 2.0 (one-layer resampler as in Qwen-VL, arXiv 2308.12966).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from ..ops.attention import full_attention
from .siglip import Grid

HEAD_SIZE = 128


@dataclass(frozen=True)
class ResamplerSizes:
    """The sizes: `width` D of the language model, `features` C of the tower, and the number of queries, a square."""

    width: int
    features: int
    queries: int = 64
    eps: float = 1e-6


def grid_code(grid: Grid, width: int, device: torch.device | None = None) -> Tensor:
    """Return the sine-cosine code (rows * columns, D) of a grid, float32, with a step of 1 between neighbours.

    The first half of the channels codes the column, the second the row; each half is [sin, cos] of the position times
    10000^(-k / m), k = 0 ... m - 1, m = D / 4. Source: MAE (arXiv 2111.06377), get_2d_sincos_pos_embed.
    """
    rows, columns = grid
    quarter = width // 4
    frequencies_M = 1.0 / 10000 ** (torch.arange(quarter, dtype=torch.float32, device=device) / quarter)

    def code(count: int) -> Tensor:
        turns = torch.arange(count, dtype=torch.float32, device=device)[:, None] * frequencies_M
        return torch.cat((turns.sin(), turns.cos()), dim=1)

    column_RCH = code(columns).expand(rows, -1, -1)
    row_RCH = code(rows)[:, None].expand(-1, columns, -1)
    return torch.cat((column_RCH, row_RCH), dim=2).flatten(0, 1)


class CrossAttention(nn.Module):
    """Multi-head attention under the parameter names of `nn.MultiheadAttention`, each picture by itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // HEAD_SIZE
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, query_QD: Tensor, key_ND: Tensor, value_ND: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return (S * Q, D): what the same queries read in each of the S pictures; `lengths` are their patches."""
        weights, biases = self.in_proj_weight.chunk(3), self.in_proj_bias.chunk(3)
        query, key, value = (
            linear(source, weight, bias).unflatten(1, (self.heads, -1))
            for source, weight, bias in zip((query_QD, key_ND, value_ND), weights, biases, strict=True)
        )
        count, queries = len(lengths), len(query_QD)
        queries_NHK = query.expand(count, -1, -1, -1).flatten(0, 1)
        output: Tensor = self.out_proj(full_attention(queries_NHK, key, value, [queries] * count, lengths).flatten(1))
        return output


class Resampler(nn.Module):
    """From any number of patches to Q vectors of the language model's width."""

    def __init__(self, sizes: ResamplerSizes) -> None:
        super().__init__()
        side = math.isqrt(sizes.queries)
        if sizes.width % HEAD_SIZE or side**2 != sizes.queries:
            raise ValueError(
                f"hidden_size {sizes.width} must be a multiple of {HEAD_SIZE}, and query_num {sizes.queries} a square."
            )
        self.query = nn.Parameter(torch.zeros(sizes.queries, sizes.width))
        # Stored, not rebuilt: published files hold it rounded, or even trained.
        code = grid_code((side, side), sizes.width).to(torch.get_default_dtype())
        self.pos_embed = nn.Parameter(code, requires_grad=False)
        self.proj = nn.Parameter(torch.zeros(sizes.width, sizes.width))
        self.kv_proj = nn.Linear(sizes.features, sizes.width, bias=False)
        self.attn = CrossAttention(sizes.width)
        self.ln_q, self.ln_kv, self.ln_post = (nn.LayerNorm(sizes.width, eps=sizes.eps) for _ in range(3))

    def forward(self, features_NC: Tensor, grids: Sequence[Grid]) -> Tensor:
        """Return (S, Q, D) for S pictures whose patches stand one behind the other; `grids` tell them apart."""
        value_ND = self.ln_kv(self.kv_proj(features_NC.to(self.kv_proj.weight.dtype)))
        query_QD = self.ln_q(self.query) + self.pos_embed
        key_ND = value_ND + self._code(grids).to(value_ND.dtype)
        read_ND = self.attn(query_QD, key_ND, value_ND, [rows * columns for rows, columns in grids])
        output: Tensor = self.ln_post(read_ND) @ self.proj  # from the right, not transposed
        return output.unflatten(0, (len(grids), -1))

    def _code(self, grids: Sequence[Grid]) -> Tensor:
        width, device = self.query.shape[1], self.query.device
        codes = {grid: grid_code(grid, width, device) for grid in dict.fromkeys(grids)}
        return torch.cat([codes[grid] for grid in grids])
