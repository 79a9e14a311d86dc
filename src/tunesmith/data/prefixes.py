"""Rows that begin alike -> a tree: each shared token stands once; and which rows are to meet, so that there is one.

Two pictures are the same tokens, so a row is read with the first slot of each slice replaced by a number of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from .preferences import halves
from .prepared import Prepared
from .rows import mixed, prompt_ends
from .types import Example, Pack

LEAST = 16
"""Fewer shared tokens are computed again: a run of its own costs a call in every layer."""


@dataclass(frozen=True)
class Tree:
    """Rows as a forest: `runs` (parent, length, count) as in `ops/tree.py`.

    `places`: for each row, where in the forest each of its tokens stands.
    """

    runs: list[tuple[int, int, int]]
    places: list[NDArray[np.int64]]

    @property
    def size(self) -> int:
        """How many tokens are computed."""
        return sum(length * count for _, length, count in self.runs)


def lay_out(rows: Sequence[list[int]]) -> Tree:
    """Return the forest of some rows. What fewer than `LEAST` tokens of a branch share stays in each of them."""
    order = sorted(range(len(rows)), key=lambda row: rows[row])
    arrays = [np.asarray(rows[row], np.int64) for row in order]
    common = [0, *(_common(one, other) for one, other in pairwise(arrays))]  # of each with the one before it
    places = [np.empty(len(array), np.int64) for array in arrays]
    runs: list[tuple[int, int, int]] = []
    size = 0
    todo = [(0, len(arrays), 0, -1)]  # neighbours that share their first `depth` tokens, which end with run `parent`
    while todo:
        first, last, depth, parent = todo.pop()
        shared = min(common[first + 1 : last], default=0)
        cuts = [n for n in range(first + 1, last) if common[n] == shared]
        if shared - depth >= LEAST:
            for row in range(first, last):
                places[row][depth:shared] = np.arange(size, size + shared - depth)
            runs.append((parent, shared - depth, 1))
            size, parent, depth = size + shared - depth, len(runs) - 1, shared
        groups = list(pairwise([first, *cuts, last]))
        ends = [start for start, end in groups if end - start == 1]
        for whole, same in groupby(sorted(ends, key=lambda n: len(arrays[n])), lambda n: len(arrays[n])):
            leaves, length = list(same), whole - depth
            for row in leaves:
                places[row][depth:] = np.arange(size, size + length)
                size += length
            runs += [(parent, length, len(leaves))] if length else []  # else a row that ends where others go on
        todo += [(start, end, depth, parent) for start, end in reversed(groups) if end - start > 1]
    return Tree(runs, [places[row] for row in np.argsort(order, kind="stable")])


def _common(one: NDArray[np.int64], other: NDArray[np.int64]) -> int:
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(np.argmax(differ)) if differ.any() else length


def tree_of(examples: Sequence[Example]) -> Tree:
    """Return the forest of some rows, each with one answer; pictures count as what they are."""
    known: dict[tuple[str, int], int] = {}
    rows = []
    for example in examples:
        row = list(example.input_ids)
        for picture in example.pictures:
            for number, (first, _) in enumerate(picture.slots):
                row[first] = -known.setdefault((picture.path, number), len(known) + 1)
        rows.append(row)
    return lay_out(rows)


def saved_share(batches: Sequence[Sequence[Example | Pack]]) -> float:
    """Return how many of the tokens of some batches need not be computed, because other rows share them: 0 to 1."""
    whole = computed = 0
    for items in batches:
        examples = [one for item in items for one in (item.examples if isinstance(item, Pack) else (item,))]
        rows = [half for example in examples for half in halves(example)]
        whole += sum(len(row.input_ids) for row in rows)
        computed += tree_of(rows).size
    return 1 - computed / whole if whole else 0.0


def beginnings(prepared: Prepared) -> NDArray[np.uint64]:
    """Return (rows, levels): hashes of how each row begins, of ever more tokens, to sort rows by that share them.

    The lengths grow by sqrt(2). A row counts up to its last answer (of two, the first): rows with one prompt are alike
    in all levels. Levels that tell no two rows apart, or all of them, are left out.
    """
    longest = int(prepared.rows.lengths.max(initial=0))
    lengths = [length for power in range(40) if (length := int(LEAST * 2 ** (power / 2))) <= longest]
    parts = [np.zeros((0, len(lengths)), np.uint64), *_hashes(prepared, lengths)]
    hashes = np.concatenate(parts)[prepared.chosen]
    kept, before = [], 1
    for level in range(len(lengths)):
        count = len(np.unique(hashes[:, level]))
        if before < count < len(hashes):
            kept.append(level)
        before = max(before, count)
    return np.ascontiguousarray(hashes[:, kept])


def _hashes(prepared: Prepared, lengths: Sequence[int]) -> Iterator[NDArray[np.uint64]]:
    """Yield the hashes of each stored block of rows."""
    for block in prepared.rows.blocks():
        ids, starts, sizes = block.input_ids.copy(), block.starts[:-1], np.diff(block.starts)
        for row, pictures in block.pictures.items():
            for picture in pictures:
                name = zlib.crc32(picture.path.encode("utf-8", "surrogateescape"))
                ids[starts[row] + picture.slots[0][0]] = -(name >> 1)
        place = np.arange(len(ids), dtype=np.int64) - np.repeat(starts, sizes)
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed(ids, place), dtype=np.uint64)])
        ends = prompt_ends(block.labels, sizes)
        found = np.empty((len(sizes), len(lengths)), np.uint64)
        for level, length in enumerate(lengths):
            found[:, level] = total[starts + np.minimum(ends, length)] - total[starts]
        yield found
