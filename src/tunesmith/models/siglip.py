"""SigLIP's shape-optimised vision transformer (SoViT-400m) under timm's parameter names, for pictures of any size.

Sources: SigLIP (arXiv 2303.15343), SoViT (arXiv 2305.13035), timm's VisionTransformer as MiniCPM-V 2.0 uses it: no
class token, no pooling head, exact (erf) GELU, LayerNorm eps 1e-6, position table interpolated to each picture's grid.

All patches of all pictures of a call are one sequence (N, C); attention alone knows where a picture ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate, linear, pad
from transformers.modeling_layers import GradientCheckpointingLayer

from ..ops.attention import full_attention
from ..ops.loss import at_least_float32

Grid = tuple[int, int]
"""Rows and columns of a picture's patches."""


@dataclass(frozen=True)
class TowerSizes:
    """The sizes of a tower; by default those of `vit_so400m_patch14_siglip_384`, with all its 27 blocks.

    `side`: rows, and columns, of the table of positions (384 / 14).
    """

    width: int = 1152
    depth: int = 27
    heads: int = 16
    hidden: int = 4304
    side: int = 27
    patch: int = 14
    eps: float = 1e-6


def cut_into_patches(picture_3HW: Tensor, patch: int) -> tuple[Tensor, Grid]:
    """Return the patches (N, 3, patch, patch) of a normalised picture, row by row, and their grid.

    Sides that are no multiple of `patch` are filled up with zeros at the right and at the bottom.

    Raises:
        ValueError: the tensor is not a picture of floats.
    """
    if picture_3HW.ndim != 3 or picture_3HW.shape[0] != 3 or not picture_3HW.numel():
        raise ValueError(f"A picture must be a tensor (3, height, width), not {tuple(picture_3HW.shape)}.")
    if not picture_3HW.is_floating_point():
        raise ValueError(f"A picture must hold normalised floats, not {picture_3HW.dtype}.")
    height, width = picture_3HW.shape[1:]
    whole = pad(picture_3HW, (0, -width % patch, 0, -height % patch))
    rows, columns = whole.shape[1] // patch, whole.shape[2] // patch
    tiles = whole.reshape(3, rows, patch, columns, patch).permute(1, 3, 0, 2, 4)
    return tiles.reshape(rows * columns, 3, patch, patch), (rows, columns)


class PatchProjection(nn.Conv2d):
    """A convolution whose kernel is as large as its input: one matrix product, which is faster than a convolution."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (N, C, 1, 1) for patches (N, 3, P, P)."""
        return linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class PatchEmbed(nn.Module):
    """From the pixels of a patch to a vector."""

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        self.proj = PatchProjection(3, sizes.width, kernel_size=sizes.patch, stride=sizes.patch)

    def forward(self, patches_N3PP: Tensor) -> Tensor:
        """Return (N, C)."""
        embedded: Tensor = self.proj(patches_N3PP)
        return embedded.flatten(1)


class TowerAttention(nn.Module):
    """Full attention inside each picture; one matrix gives queries, keys and values, in this order."""

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.qkv = nn.Linear(sizes.width, 3 * sizes.width)
        self.proj = nn.Linear(sizes.width, sizes.width)

    def forward(self, x_NC: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return (N, C); `lengths` are the patches of each picture."""
        query, key, value = self.qkv(x_NC).unflatten(1, (3, self.heads, -1)).unbind(1)  # each (N, heads, K)
        output: Tensor = self.proj(full_attention(query, key, value, lengths, lengths).flatten(1))
        return output


class TowerMLP(nn.Module):
    """Two layers with the exact GELU between them (SigLIP elsewhere has the tanh form)."""

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.width, sizes.hidden)
        self.fc2 = nn.Linear(sizes.hidden, sizes.width)

    def forward(self, x_NC: Tensor) -> Tensor:
        """Return (N, C)."""
        output: Tensor = self.fc2(gelu(self.fc1(x_NC)))
        return output


class TowerBlock(GradientCheckpointingLayer):
    """Pre-norm attention and MLP, each added to what comes in.

    transformers' base class gives the flag `gradient_checkpointing`, which the model's own switch finds.
    """

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.attn = TowerAttention(sizes)
        self.norm2 = nn.LayerNorm(sizes.width, eps=sizes.eps)
        self.mlp = TowerMLP(sizes)

    def forward(self, x_NC: Tensor, lengths: Sequence[int]) -> Tensor:
        """Return (N, C); `lengths` are the patches of each picture."""
        x_NC = x_NC + self.attn(self.norm1(x_NC), lengths)
        return x_NC + self.mlp(self.norm2(x_NC))


class SiglipTower(nn.Module):
    """Pictures in, one vector for each of their patches out."""

    def __init__(self, sizes: TowerSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.patch_embed = PatchEmbed(sizes)
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.side**2, sizes.width))
        self.blocks = nn.ModuleList([TowerBlock(sizes) for _ in range(sizes.depth)])
        self.norm = nn.LayerNorm(sizes.width, eps=sizes.eps)

    def forward(self, pictures: Sequence[Tensor]) -> tuple[Tensor, list[Grid]]:
        """Return the features (N, C) of all patches, picture behind picture and row by row, and the pictures' grids.

        pictures: float tensors (3, height, width) of any sizes, normalised. Neighbours with as many patches share
        their attention calls: sorted pictures are fastest.
        """
        weight = self.patch_embed.proj.weight
        cut = [cut_into_patches(picture.to(weight.device), self.sizes.patch) for picture in pictures]
        grids = [grid for _, grid in cut]
        x_NC = self.patch_embed(torch.cat([patches for patches, _ in cut]).to(weight.dtype)) + self._positions(grids)
        lengths = [rows * columns for rows, columns in grids]
        for block in self.blocks:
            x_NC = block(x_NC, lengths)
        return self.norm(x_NC), grids

    def _positions(self, grids: Sequence[Grid]) -> Tensor:
        """Return the positions (N, C) of all patches: the table, interpolated in float32 to each grid but its own."""
        side = self.sizes.side
        table_1CSS = at_least_float32(self.pos_embed).unflatten(1, (side, side)).permute(0, 3, 1, 2)
        tables: dict[Grid, Tensor] = {}
        for grid in grids:
            if grid not in tables:
                own = grid == (side, side)
                resized = table_1CSS if own else interpolate(table_1CSS, grid, mode="bicubic", antialias=True)
                tables[grid] = resized[0].flatten(1).T.to(self.pos_embed.dtype)
        return torch.cat([tables[grid] for grid in grids])
