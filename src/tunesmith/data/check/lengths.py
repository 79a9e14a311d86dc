"""How long records are: a histogram, and the max_length that suits them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .tokens import STEP

KEEP = 0.995
"""The share of the label tokens that a proposed max_length keeps at least."""
_BARS = 10


@dataclass(frozen=True)
class Lengths:
    """Lengths of records, ascending, in `unit`: tokens or characters."""

    unit: str
    values: NDArray[np.int32]

    @property
    def total(self) -> int:
        """The sum of all lengths."""
        return int(self.values.sum(dtype=np.int64))

    def below(self, share: float) -> int:
        """Return the length that this share of the records does not exceed (0.5: the median)."""
        return int(self.values[min(int(share * len(self.values)), len(self.values) - 1)])

    def histogram(self) -> list[tuple[int, int, int]]:
        """Return (from, to, records) for about ten stretches of equal width; the last one holds all that is longer."""
        if not len(self.values):
            return []
        width = 8
        while self.below(0.98) >= width * _BARS:
            width *= 2
        bars = np.minimum(self.values // width, _BARS)
        counts = np.bincount(bars)
        first = int(np.flatnonzero(counts)[0])
        longest = int(self.values[-1])
        return [
            (number * width, number * width + width - 1 if number < _BARS else longest, int(count))
            for number, count in enumerate(counts)
            if number >= first
        ]


@dataclass(frozen=True)
class Proposal:
    """A max_length, and what it costs: rows that are cut and label tokens that are lost.

    `whole` is the length that cuts nothing. `limited`: the model sees no more than this length.
    """

    length: int
    cut_rows: int
    lost: int
    whole: int
    limited: bool = False


def propose(lengths: Lengths, places: NDArray[np.int64], limit: int | None) -> Proposal | None:
    """Return the smallest multiple of STEP that keeps KEEP of the label tokens; None if nothing is to be cut.

    `places`: the label tokens in each STEP of a row's places. Where cutting nothing takes at most a quarter
    more, that is proposed. `limit`: what the model sees at most.
    """
    if not len(lengths.values) or not places.sum():
        return None
    whole = -(-int(lengths.values[-1]) // STEP) * STEP
    kept = np.cumsum(places)
    length = (int(np.searchsorted(kept, KEEP * kept[-1])) + 1) * STEP
    length = whole if whole * 4 <= length * 5 else length
    limited = limit is not None and limit < length
    length = limit if limit is not None and limited else length
    return Proposal(length, cut_rows(lengths, length), int(places[length // STEP :].sum()), whole, limited)


def cut_rows(lengths: Lengths, length: int) -> int:
    """Return how many rows are longer than `length`."""
    return len(lengths.values) - int(np.searchsorted(lengths.values, length, side="right"))
