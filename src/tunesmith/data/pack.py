"""Rows -> packs: short rows share one long row, so that hardly any padding is computed.

Best-fit decreasing: the longest row first, each into the fullest pack that still has room for it (Johnson 1973: never
more than 11/9 of the least number of packs; on real lengths the waste is well under one percent). Rows of one length
go in together and packs with the same room are handled as one group, so that a million rows take about a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .order import alike, shuffled
from .types import Example, Pack


class Examples(Protocol):
    """Examples by number, wherever they are stored."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int) -> Example:
        """Return one."""


@dataclass(frozen=True)
class Packs:
    """Which rows share a pack: pack p has the rows `indexes[starts[p]:starts[p + 1]]`.

    `lengths` are the tokens of each pack, never more than `budget`.
    """

    indexes: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    budget: int

    def __len__(self) -> int:
        return len(self.lengths)

    def members(self, pack: int) -> NDArray[np.int64]:
        """Return the numbers of the rows in a pack."""
        return self.indexes[self.starts[pack] : self.starts[pack + 1]]

    @property
    def padding_share(self) -> float:
        """How much of all packs would be padding, were each filled up to the budget: 0 to 1."""
        return 1.0 - float(self.lengths.sum()) / (len(self) * self.budget) if len(self) else 0.0


def pack(lengths: NDArray[np.int64], budget: int, seed: int = 0) -> Packs:
    """Return packs of at most `budget` tokens that hold every row once, the longest first.

    `lengths` are the tokens of each row. Rows of one length are drawn in an order that depends on `seed`, so that other rows meet under another seed.

    Raises:
        DataError: a row is longer than the budget, or has no token.
    """
    lengths = _fitting(lengths, budget)
    drawn = shuffled(len(lengths), seed)
    order = drawn[np.argsort(-lengths[drawn], kind="stable")]
    room = _Room(budget)
    sizes, first, counts = np.unique(-lengths[order], return_index=True, return_counts=True)
    pack_of = np.empty(len(order), dtype=np.int64)  # of each row in `order`
    for size, start, count in zip((-sizes).tolist(), first.tolist(), counts.tolist(), strict=True):
        room.place(size, pack_of[start : start + count])
    tokens = np.bincount(pack_of, weights=lengths[order], minlength=room.count).astype(np.int64)
    starts = np.zeros(room.count + 1, dtype=np.int64)
    np.cumsum(np.bincount(pack_of, minlength=room.count), out=starts[1:])
    return Packs(order[np.argsort(pack_of, kind="stable")], starts, tokens, budget)


def pack_alike(lengths: NDArray[np.int64], budget: int, beginnings: NDArray[np.uint64], seed: int = 0) -> Packs:
    """Return packs as `pack` does, of rows that begin alike: these are taken one behind the other until a pack is full.

    `beginnings` as in `EpochOrder`. A pack may have room for a row that stands in another one.

    Raises:
        DataError: as `pack`.
    """
    lengths = _fitting(lengths, budget)
    order = alike(shuffled(len(lengths), seed), beginnings, seed)
    starts, filled = [], budget
    for place, length in enumerate(lengths[order].tolist()):
        filled += length
        if filled > budget:
            starts.append(place)
            filled = length
    tokens = np.add.reduceat(lengths[order], starts).astype(np.int64)
    return Packs(order, np.array([*starts, len(order)], np.int64), tokens, budget)


def _fitting(lengths: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    lengths = np.asarray(lengths, dtype=np.int64)
    wrong = (lengths > budget) | (lengths < 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"Row {row} has {lengths[row]} tokens; only rows of 1 to {budget} tokens can be packed.")
    return lengths


class _Room:
    """Packs by the room they have left: `packs[r]` are chunks of numbers of packs with room for r tokens.

    The bits of `open` say which r have any: the smallest one that fits is found without looking through them all.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.count, self.open = budget, 0, 0
        self.packs: dict[int, list[NDArray[np.int64]]] = {}

    def place(self, size: int, pack_of: NDArray[np.int64]) -> None:
        """Write into `pack_of` where each of its rows goes; all have `size` tokens."""
        done, total = 0, len(pack_of)
        while done < total:
            fitting = self.open >> size
            room = size + (fitting & -fitting).bit_length() - 1 if fitting else self.budget
            packs = self._take(room) if fitting else self._new(total - done, size)
            each = room // size  # the fullest pack stays the fullest, so it takes all it can before the next one does
            full, rest = min(len(packs), (total - done) // each), (total - done) % each
            pack_of[done : done + full * each] = np.repeat(packs[:full], each)
            done += full * each
            self._put(room - each * size, packs[:full])
            if full < len(packs):
                pack_of[done:] = packs[full]
                self._put(room - rest * size, packs[full : full + 1])
                self._put(room, packs[full + 1 :])
                done = total

    def _new(self, rows: int, size: int) -> NDArray[np.int64]:
        first = self.count
        self.count += math.ceil(rows / (self.budget // size))
        return np.arange(first, self.count, dtype=np.int64)

    def _take(self, room: int) -> NDArray[np.int64]:
        self.open &= ~(1 << room)
        return np.concatenate(self.packs.pop(room))

    def _put(self, room: int, packs: NDArray[np.int64]) -> None:
        if len(packs) and room:
            self.open |= 1 << room
            self.packs.setdefault(room, []).append(packs)


@dataclass(frozen=True)
class PackedRows:
    """Packs of stored rows, as a map-style dataset."""

    rows: Examples
    packs: Packs

    def __len__(self) -> int:
        return len(self.packs)

    def __getitem__(self, index: int) -> Pack:
        return Pack(tuple(self.rows[row] for row in self.packs.members(index).tolist()))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each pack."""
        return self.packs.lengths
