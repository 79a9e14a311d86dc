"""In which order rows are seen: a function of (seed, epoch) alone, the same on every machine and library version."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MEGA = 50
"""Batches that are sorted by length together: enough to save padding, few enough that any row may meet any other."""

_MASK = 2**64 - 1


def shuffled(count: int, *key: int) -> NDArray[np.int64]:
    """Return 0 ... count - 1 in an order that follows from the whole numbers in `key` and from nothing else.

    Every number is hashed together with the key (splitmix64: Steele, Lea, Flood 2014) and the hashes are sorted.
    numpy's own generators may change their streams between versions, which would break the resuming of a run.
    """
    state = 0
    for part in (len(key), *key):
        state = int(_mix(np.array([(state ^ part) & _MASK], dtype=np.uint64))[0])
    hashes = _mix(np.arange(count, dtype=np.uint64) ^ np.uint64(state))
    return np.argsort(hashes, kind="stable").astype(np.int64)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class EpochOrder:
    """A sampler for torch's DataLoader: yields each index once, in the order of the current epoch.

    With `group_by_length` the rows of a batch have similar lengths: shuffled rows are taken by `MEGA` batches, sorted
    by length, cut into batches, and the batches are shuffled. Rows that fill no batch come last, drawn like any.
    """

    def __init__(self, lengths: NDArray[np.int64], batch_size: int, seed: int, group_by_length: bool = False) -> None:
        self.lengths, self.batch_size, self.seed, self.group_by_length = lengths, batch_size, seed, group_by_length
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for, counted from 0."""
        self.epoch = epoch

    def indexes(self) -> NDArray[np.int64]:
        """Return the order of the current epoch."""
        order = shuffled(len(self.lengths), self.seed, self.epoch, 0)
        if not self.group_by_length:
            return order
        whole = len(order) // self.batch_size * self.batch_size
        full, rest = order[:whole], order[whole:]
        mega = np.arange(whole) // (MEGA * self.batch_size)
        full = full[np.lexsort((self.lengths[full], mega))]  # stable, so rows of one length stay shuffled
        batches = full.reshape(-1, self.batch_size)
        batches = batches[shuffled(len(batches), self.seed, self.epoch, 1)]
        return np.concatenate([batches.reshape(-1), rest])

    def __iter__(self) -> Iterator[int]:
        return iter(self.indexes().tolist())

    def __len__(self) -> int:
        return len(self.lengths)
