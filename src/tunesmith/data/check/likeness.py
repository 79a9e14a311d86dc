"""Texts that are almost the same: one-permutation MinHash over stretches of five characters, found by bands.

A signature is 64 bytes: the share of equal bytes of two signatures estimates the share of stretches that two texts
have in common (Jaccard). Sources: Li, Owen, Zhang 2012 (one permutation); Shrivastava 2017 (filling empty bins);
Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3 (bands).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

ALIKE = 0.85
"""From which estimated share of common stretches on two records count as almost the same."""
BINS = 64
_STRETCH = 5
_ENOUGH = 20
"""Texts with fewer stretches are only compared whole."""
_BAND = 6
_OFTEN, _SHARE = 8, 0.2
"""A stretch that stands in a block more often than this, and than this share of its records, is a set phrase."""
_FILLS = np.random.default_rng(5).integers(0, BINS, (BINS, BINS))
_PAIRS = 100_000


def mixed(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return 32-bit values with their bits well mixed (the end of MurmurHash3), in place."""
    values ^= values >> np.uint32(16)
    values *= np.uint32(0x85EBCA6B)
    values ^= values >> np.uint32(13)
    values *= np.uint32(0xC2B2AE35)
    values ^= values >> np.uint32(16)
    return values


def rolling(codes: NDArray[np.uint32], size: int) -> NDArray[np.uint32]:
    """Return a hash of the `size` characters from each place on (`size` - 1 fewer values than characters)."""
    count = max(len(codes) - size + 1, 0)
    total = np.zeros(count, np.uint32)
    for offset in range(size):
        total *= np.uint32(0x9E3779B1)
        total += codes[offset : offset + count]
    return mixed(total)


def signatures(codes: NDArray[np.uint32], owner: NDArray[np.int32], count: int) -> NDArray[np.uint8]:
    """Return the signatures of `count` records, whose characters are `codes`; zeros for those that are too short.

    `owner`: the record of each character, ascending. Set phrases, which many records of the block share, are left
    out: two tasks with the same instruction are not the same task.
    """
    made = np.zeros((count, BINS), np.uint8)
    if len(codes) < _ENOUGH:
        return made
    hashes = rolling(np.where((codes >= 65) & (codes <= 90), codes + np.uint32(32), codes), _STRETCH)
    buckets = hashes & np.uint32(2**20 - 1)
    often = np.bincount(buckets, minlength=2**20) > max(_OFTEN, _SHARE * count)
    first = owner[: len(hashes)]
    whole = (first == owner[_STRETCH - 1 :]) & ~often[buckets]
    hashes, first = hashes[whole], first[whole]
    lowest = np.full(count * BINS, 2**32 - 1, np.uint32)
    np.minimum.at(lowest, first * np.int32(BINS) + (hashes >> np.uint32(26)).astype(np.int32), hashes)
    enough = np.bincount(first, minlength=count) >= _ENOUGH
    made[enough] = _filled(lowest.reshape(count, BINS)[enough])
    return made


def _filled(lowest: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Return a byte for each bin; an empty bin takes that of another, in an order that is the same for all."""
    there = lowest != 2**32 - 1
    values = lowest ^ (lowest >> np.uint32(9))
    made = np.where(there, values, 0)
    empty = ~there
    for source in _FILLS:
        if not empty.any():
            break
        take = empty & there[:, source]
        made = np.where(take, values[:, source], made)
        empty &= ~take
    low: NDArray[np.uint8] = (made & np.uint32(255)).astype(np.uint8)
    return low


def likeness(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the estimated likeness (0 to 1) of each pair of signatures."""
    same: NDArray[np.float64] = (first == second).mean(axis=-1)
    return same


def find_alike(made: NDArray[np.uint8]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield pairs (later, earlier) of records whose signatures are alike; not all there are, and some several times.

    Each record is compared with the first one, and with the one before it, of those that share one of its bands.
    """
    signed = np.flatnonzero(made.any(axis=1))
    for start in range(0, BINS - _BAND + 1, _BAND):
        keys = np.zeros(len(signed), np.uint64)
        for column in range(start, start + _BAND):
            keys = keys << np.uint64(8) | made[signed, column].astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        new = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
        later = np.flatnonzero(~new)
        leader = np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))[later]
        yield _verified(made, signed[order[later]], signed[order[leader]])
        after = later[later - 1 != leader]
        yield _verified(made, signed[order[after]], signed[order[after - 1]])


def _verified(
    made: NDArray[np.uint8], later: NDArray[np.int64], earlier: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return those pairs that are alike."""
    alike = np.zeros(len(later), bool)
    for start in range(0, len(later), _PAIRS):
        part = slice(start, start + _PAIRS)
        alike[part] = likeness(made[later[part]], made[earlier[part]]) >= ALIKE
    return later[alike], earlier[alike]
