"""Training rows without a cache, for data that is larger than the disk: read, rendered and shuffled on the way.

The stream never ends: when the files are through it begins anew, in another order. What it gives is a function of the
files and the seed alone, so a run that is killed goes on with the very next row; to find it, the rows before it are
made again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import IterableDataset

from ..errors import DataError
from .flow import Work, survey
from .order import EpochOrder, shuffled
from .pack import pack
from .pipeline import add
from .report import DataReport, refusal
from .rows import Columns
from .types import Example, Pack


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is read.

    `window`: how many rows are held and shuffled together. `budget`: pack rows into this many tokens (None: no
    packing). `skip_bad`: leave bad records out and name them in the report, instead of stopping. `loss_weights`: what
    the loss of a file's rows counts (1 where it is not named). `rank` of `world` processes take every `world`-th batch;
    an optimiser step has `step_batches` batches, over all of them.
    """

    batch_size: int
    seed: int
    window: int = 10_000
    group_by_length: bool = True
    budget: int | None = None
    skip_bad: bool = False
    processes: int | None = None
    loss_weights: Mapping[str, float] = field(default_factory=dict)
    rank: int = 0
    world: int = 1
    step_batches: int = 1


class StreamRows(IterableDataset[Example | Pack]):
    """The rows of files as an endless stream; `report` accounts for the records of the first pass."""

    def __init__(self, paths: Sequence[str], work: Work, options: StreamOptions) -> None:
        self.paths, self.work, self.options, self.report = list(paths), work, options, DataReport()

    def __iter__(self) -> Iterator[Example | Pack]:
        """Yield rows, or packs of rows, for ever.

        Raises:
            DataError: a file or record is bad, or there is no row at all.
        """
        options, held, number, batch = self.options, _Held(), 0, 0
        for columns, path in self._columns():
            if columns is not None:
                held.add(columns, path)
            if len(held) < options.window and columns is not None:
                continue
            items, held = self._ordered(held, number)
            number += 1
            for item in items:
                if batch // options.batch_size % options.world == options.rank:
                    yield item
                batch += 1

    def _columns(self) -> Iterator[tuple[Columns | None, str]]:
        """Yield blocks of rows, pass after pass, the files in another order each time; None at the end of a pass."""
        epoch = 0
        while True:
            files, found = [self.paths[i] for i in shuffled(len(self.paths), self.options.seed, epoch)], 0
            report = self.report = DataReport() if epoch == 0 else self.report
            for done in survey(files, self.work, self.options.processes):
                counted = report if epoch == 0 else DataReport()
                add(counted, done)
                if done.error is not None or (done.bad and not self.options.skip_bad):
                    raise refusal([done.error] if done.error else [], counted)
                if done.columns is not None and len(done.columns):
                    found += len(done.columns)
                    yield done.columns, done.path
            if not found:
                raise refusal([], report) if report.bad else DataError("The data files hold no row to learn from.")
            yield None, ""
            epoch += 1

    def _ordered(self, held: _Held, number: int) -> tuple[Iterator[Example | Pack], _Held]:
        """Return the rows of window `number` in their order, and those that fill no step, for the next window."""
        options, rest = self.options, _Held()
        lengths = held.lengths
        packs = pack(lengths, options.budget, options.seed + number) if options.budget is not None else None
        order = EpochOrder(
            lengths if packs is None else packs.lengths,
            options.batch_size,
            options.seed,
            options.group_by_length and packs is None,
            options.step_batches,
        )
        order.set_epoch(number)
        indexes = order.indexes()
        kept = len(indexes) - len(indexes) % order.step_rows
        if kept == 0:  # too few rows for a step: read on
            return iter(()), held

        def members(index: int) -> list[int]:
            return [index] if packs is None else packs.members(index).tolist()

        def item(index: int) -> Example | Pack:
            made = [held.example(row) for row in members(index)]
            for example in made:
                example.weight = options.loss_weights.get(example.origin.file if example.origin else "", 1.0)
            return made[0] if packs is None else Pack(tuple(made))

        for index in indexes[kept:].tolist():
            for row in members(index):
                example = held.example(row)
                assert example.origin is not None  # every row has one
                rest.add(Columns.of([example]), example.origin.file)
        return (item(index) for index in indexes[:kept].tolist()), rest


class _Held:
    """Rows that are held in memory: as arrays, a tenth of what lists would need."""

    def __init__(self) -> None:
        self._blocks: list[tuple[Columns, str]] = []
        self._places: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._places)

    def add(self, columns: Columns, path: str) -> None:
        """Hold all rows of a block."""
        self._places += [(len(self._blocks), row) for row in range(len(columns))]
        self._blocks.append((columns, path))

    @property
    def lengths(self) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        """The number of tokens of each row."""
        parts = [columns.lengths.astype(np.int64) for columns, _ in self._blocks]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def example(self, row: int) -> Example:
        """Return a row."""
        block, at = self._places[row]
        columns, path = self._blocks[block]
        return columns.example(at, path)
