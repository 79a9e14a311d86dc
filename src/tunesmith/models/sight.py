"""What a model sees of pictures: pixels through the tower and the resampler, or what an earlier look has left.

A picture is a float tensor: (3, height, width) pixels, (1, rows, columns, C) what the tower made of it, or (Q, D) what
the resampler made of that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .resampler import Resampler
    from .siglip import SiglipTower

PIXELS, TOWERED, READY = 3, 4, 2
"""Dimensions of the three kinds."""
_KINDS = (PIXELS, TOWERED, READY)


def look(tower: SiglipTower, resampler: Resampler, pictures: Sequence[Tensor], device: torch.device) -> Tensor:
    """Return (n, Q, D) for n pictures: one pass for all, pictures of one size side by side.

    A tensor that stands in the list several times (a prompt that is continued in several ways) is computed once.
    """
    different = sorted({id(picture): picture for picture in pictures}.values(), key=_place)
    number = {id(picture): place for place, picture in enumerate(different)}
    pixels, towered, ready = ([picture for picture in different if picture.ndim == kind] for kind in _KINDS)
    parts: list[Tensor] = []
    if pixels or towered:
        features, grids = tower(pixels) if pixels else (None, [])
        flat = [*([] if features is None else [features]), *(one.flatten(0, 2).to(device) for one in towered)]
        grids = [*grids, *((one.shape[1], one.shape[2]) for one in towered)]
        parts.append(resampler(flat[0] if len(flat) == 1 else torch.cat(flat), grids))
    if ready:
        parts.append(torch.stack([one.to(device) for one in ready]))
    rows_SQD = parts[0] if len(parts) == 1 else torch.cat([part.to(parts[0].dtype) for part in parts])
    order = torch.tensor([number[id(picture)] for picture in pictures], device=rows_SQD.device)
    return rows_SQD.index_select(0, order)


def towered(tower: SiglipTower, pictures: Sequence[Tensor]) -> list[Tensor]:
    """Return what the tower makes of each picture of pixels, (1, rows, columns, C)."""
    features_NC, grids = tower(pictures)
    pieces = features_NC.split([rows * columns for rows, columns in grids])
    return [piece.view(1, rows, columns, -1) for piece, (rows, columns) in zip(pieces, grids, strict=True)]


def _place(picture: Tensor) -> tuple[int, ...]:
    return (_KINDS.index(picture.ndim), picture[0].numel(), *picture.shape)
