"""In which order rows are seen: a function of (seed, epoch) alone, the same on every machine and library version."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MEGA = 50
"""Optimiser steps whose rows are sorted by length together: enough to save padding, few enough that any row may meet any other."""

_MASK = 2**64 - 1


def shuffled(count: int, *key: int) -> NDArray[np.int64]:
    """Return 0 ... count - 1 in an order that follows from the whole numbers in `key` and from nothing else.

    Every number is hashed together with the key (splitmix64: Steele, Lea, Flood 2014) and the hashes are sorted.
    numpy's own generators may change their streams between versions, which would break the resuming of a run.
    """
    hashes = _mix(np.arange(count, dtype=np.uint64) ^ np.uint64(_state(key)))
    return np.argsort(hashes, kind="stable").astype(np.int64)


def _state(key: tuple[int, ...]) -> int:
    state = 0
    for part in (len(key), *key):
        state = int(_mix(np.array([(state ^ part) & _MASK], dtype=np.uint64))[0])
    return state


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def alike(rows: NDArray[np.int64], beginnings: NDArray[np.uint64], *key: int) -> NDArray[np.int64]:
    """Return these rows with those together that begin alike, the longer the nearer; the groups in an order by `key`."""
    levels = beginnings[rows].T
    if not len(levels):
        return rows
    # The first level sorts first, which is lexsort's last key; rows that are alike in all levels keep their order.
    return rows[np.lexsort(_mix(levels[::-1] ^ np.uint64(_state(key))))]


class EpochOrder:
    """A sampler for torch's DataLoader: yields each index once, in the order of the current epoch.

    With `group_by_length` the rows of an optimiser step have similar lengths: shuffled rows are taken by `MEGA` steps,
    sorted by length, cut into steps, and the steps are shuffled. Rows that fill no step come last, drawn like any. A
    step has `step_batches` batches, over all ranks: the same rows meet in it however it is cut into batches.

    With `beginnings` (rows, levels), as of `prefixes.beginnings`, rows that begin alike stand together instead: shuffled
    rows are sorted by them, alike ones in an order drawn anew in each epoch, cut into steps, and the steps are shuffled.
    """

    def __init__(
        self,
        lengths: NDArray[np.int64],
        batch_size: int,
        seed: int,
        group_by_length: bool = False,
        step_batches: int = 1,
        beginnings: NDArray[np.uint64] | None = None,
    ) -> None:
        self.lengths, self.batch_size, self.seed, self.group_by_length = lengths, batch_size, seed, group_by_length
        self.step_rows, self.beginnings = batch_size * step_batches, beginnings
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for, counted from 0."""
        self.epoch = epoch

    def indexes(self) -> NDArray[np.int64]:
        """Return the order of the current epoch."""
        order = shuffled(len(self.lengths), self.seed, self.epoch, 0)
        if not self.group_by_length and self.beginnings is None:
            return order
        whole = len(order) // self.step_rows * self.step_rows
        full, rest = order[:whole], order[whole:]
        if self.beginnings is None:
            mega = np.arange(whole) // (MEGA * self.step_rows)
            full = full[np.lexsort((self.lengths[full], mega))]  # stable, so rows of one length stay shuffled
        else:
            full = alike(full, self.beginnings, self.seed, self.epoch, 2)
        steps = full.reshape(-1, self.step_rows)
        steps = steps[shuffled(len(steps), self.seed, self.epoch, 1)]
        return np.concatenate([steps.reshape(-1), rest])

    def __iter__(self) -> Iterator[int]:
        return iter(self.indexes().tolist())

    def __len__(self) -> int:
        return len(self.lengths)


class Deal:
    """A batch sampler for torch's DataLoader: the batches of one rank, batch b of the order being of rank b % world.

    Every rank gets as many batches; where the rows do not go round, the last ones are empty (`Collator` makes a batch
    without labels of them). So no row is lost or doubled, and one optimiser step holds the same rows on 1 or N ranks.
    """

    def __init__(self, order: EpochOrder | range, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.order, self.batch_size, self.rank, self.world = order, batch_size, rank, world

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for, counted from 0."""
        if isinstance(self.order, EpochOrder):
            self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        indexes = list(self.order)
        for number in range(len(self)):
            start = (number * self.world + self.rank) * self.batch_size
            yield indexes[start : start + self.batch_size]

    def __len__(self) -> int:
        return math.ceil(len(self.order) / (self.batch_size * self.world))
