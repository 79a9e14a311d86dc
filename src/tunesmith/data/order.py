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

    def batches(self) -> list[list[int]]:
        """Return the batches of the current epoch, in their order."""
        return _cut(self.indexes().tolist(), self.batch_size)

    @property
    def batch_count(self) -> int:
        """How many batches an epoch has, the same in each."""
        return math.ceil(len(self) / self.batch_size)

    def __iter__(self) -> Iterator[int]:
        return iter(self.indexes().tolist())

    def __len__(self) -> int:
        return len(self.lengths)


class TokenOrder(EpochOrder):
    """An `EpochOrder` whose batches hold as many rows as fit `tokens`, padding counted: rows times the longest.

    A row that is longer than that is a batch of its own. Rows are sorted by length, those of one length in an order
    drawn anew in each epoch, and cut where the next one would not fit; the batches are shuffled. The lengths stand in
    the same order in each epoch, and so all epochs have as many batches: what a resumed run goes by.

    With `beginnings` rows that begin alike stand together instead. Lengths are mixed then, so the batches stay as they
    are, and only their order is drawn in each epoch.
    """

    def __init__(
        self, lengths: NDArray[np.int64], tokens: int, seed: int, beginnings: NDArray[np.uint64] | None = None
    ) -> None:
        super().__init__(lengths, 1, seed, beginnings=beginnings)
        self.starts = _starts(lengths[self._sorted()].tolist(), tokens)

    def _sorted(self) -> NDArray[np.int64]:
        if self.beginnings is not None:
            return alike(shuffled(len(self.lengths), self.seed, 0, 0), self.beginnings, self.seed, 0, 2)
        drawn = shuffled(len(self.lengths), self.seed, self.epoch, 0)
        return drawn[np.argsort(self.lengths[drawn], kind="stable")]

    def indexes(self) -> NDArray[np.int64]:
        """Return the order of the current epoch."""
        return np.concatenate([np.zeros(0, np.int64), *self._batches()])

    def batches(self) -> list[list[int]]:
        """Return the batches of the current epoch, in their order."""
        return [batch.tolist() for batch in self._batches()]

    def _batches(self) -> list[NDArray[np.int64]]:
        parts = np.split(self._sorted(), self.starts[1:]) if self.starts else []
        return [parts[number] for number in shuffled(len(parts), self.seed, self.epoch, 1)]

    @property
    def batch_count(self) -> int:
        """How many batches an epoch has, the same in each."""
        return len(self.starts)


def _starts(lengths: list[int], tokens: int) -> list[int]:
    """Return where batches of rows of these lengths begin, each of which takes rows as long as they fit."""
    starts: list[int] = []
    start = widest = 0
    for place, length in enumerate(lengths):
        widest = max(widest, length)
        if not starts or (place - start + 1) * widest > tokens:
            starts.append(place)
            start, widest = place, length
    return starts


def _cut(indexes: list[int], size: int) -> list[list[int]]:
    return [indexes[start : start + size] for start in range(0, len(indexes), size)]


class Deal:
    """A batch sampler for torch's DataLoader: the batches of one rank, batch b of the order being of rank b % world.

    Every rank gets as many batches; where the rows do not go round, the last ones are empty (`Collator` makes a batch
    without labels of them). So no row is lost or doubled, and one optimiser step holds the same rows on 1 or N ranks.
    `batch_size` cuts a range; an order cuts itself.
    """

    def __init__(self, order: EpochOrder | range, batch_size: int, rank: int = 0, world: int = 1) -> None:
        self.order, self.batch_size, self.rank, self.world = order, batch_size, rank, world

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for, counted from 0."""
        if isinstance(self.order, EpochOrder):
            self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        own = self._batches()[self.rank :: self.world]
        yield from own + [[]] * (len(self) - len(own))

    def __len__(self) -> int:
        if isinstance(self.order, EpochOrder):
            return math.ceil(self.order.batch_count / self.world)
        return math.ceil(len(self.order) / (self.batch_size * self.world))

    def _batches(self) -> list[list[int]]:
        """Return the batches of all ranks."""
        order = self.order
        return order.batches() if isinstance(order, EpochOrder) else _cut(list(order), self.batch_size)
