"""The rows of a run in memory: flat arrays of ids and labels, as a map-style dataset that can be split."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError
from .order import shuffled
from .report import DataReport
from .types import Example, Origin


@dataclass(frozen=True)
class Rows:
    """Examples in flat arrays: row r has the tokens `starts[r]` to `starts[r + 1]`; `line` 0 stands for none."""

    files: tuple[str, ...]
    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    starts: NDArray[np.int64]
    stops: NDArray[np.int32]
    stop_starts: NDArray[np.int64]
    cut: NDArray[np.int32]
    file: NDArray[np.int32]
    record: NDArray[np.int64]
    line: NDArray[np.int64]

    def example(self, row: int) -> Example:
        """Return a row as the Example that was stored."""
        tokens = slice(self.starts[row], self.starts[row + 1])
        stops = self.stops[self.stop_starts[row] : self.stop_starts[row + 1]]
        origin = Origin(self.files[self.file[row]], int(self.record[row]), int(self.line[row]) or None)
        ids, labels = self.input_ids[tokens].tolist(), self.labels[tokens].tolist()
        return Example(ids, labels, origin, int(self.cut[row]), stops.tolist())


@dataclass(frozen=True)
class Prepared:
    """The rows of a run as a map-style dataset, with the account of where they came from.

    `chosen` are the rows of `rows` that belong to it. A part made by `split` keeps the report of the whole.
    """

    rows: Rows
    chosen: NDArray[np.int64]
    report: DataReport
    fingerprint: str

    @classmethod
    def whole(cls, rows: Rows, report: DataReport, fingerprint: str) -> Prepared:
        """Return all rows, in their order."""
        return cls(rows, np.arange(len(rows.cut), dtype=np.int64), report, fingerprint)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Example:
        return self.rows.example(int(self.chosen[index]))

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each row."""
        lengths: NDArray[np.int64] = np.diff(self.rows.starts)[self.chosen]
        return lengths


class GrowingRows:
    """Rows while they are being added."""

    def __init__(self, files: tuple[str, ...]) -> None:
        self.files = files
        self.input_ids, self.labels, self.stops = array("i"), array("i"), array("i")
        self.starts, self.stop_starts = array("q", [0]), array("q", [0])
        self.cut, self.file, self.record, self.line = array("i"), array("i"), array("q"), array("q")

    def __len__(self) -> int:
        return len(self.cut)

    def append(self, example: Example, file: int) -> None:
        """Add an example that was read from file number `file`."""
        self.input_ids.extend(example.input_ids)
        self.labels.extend(example.labels)
        self.starts.append(len(self.input_ids))
        self.stops.extend(example.stops)
        self.stop_starts.append(len(self.stops))
        origin = example.origin
        assert origin is not None  # every record of a source has one
        self.cut.append(example.cut)
        self.file.append(file)
        self.record.append(origin.record)
        self.line.append(origin.line or 0)

    def finished(self) -> Rows:
        """Return the rows; they share the memory of this object."""
        columns = {name: value for name, value in vars(self).items() if isinstance(value, array)}
        return Rows(self.files, **{name: np.asarray(value) for name, value in columns.items()})


def split(prepared: Prepared, share: float, seed: int) -> tuple[Prepared, Prepared]:
    """Return (training, validation): `share` of the rows, at least one, drawn by `seed`, for validation.

    Both parts keep the order of the files. Which rows are drawn depends on their number and the seed alone.

    Raises:
        ConfigError: the share is not between 0 and 1.
        DataError: there are fewer than two rows.
    """
    if not 0 < share < 1:
        raise ConfigError(f"data.validation_share: {share} is not between 0 and 1.")
    if len(prepared) < 2:
        raise DataError("data.validation_share: one row cannot be split. Give more records, or a validation file.")
    count = min(max(round(len(prepared) * share), 1), len(prepared) - 1)
    order = shuffled(len(prepared), seed)
    parts = {"training": np.sort(order[count:]), "validation": np.sort(order[:count])}
    made = []
    for name, part in parts.items():
        text = f"{prepared.fingerprint} {name} {count} {seed}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        made.append(replace(prepared, chosen=prepared.chosen[part], fingerprint=digest))
    return made[0], made[1]
