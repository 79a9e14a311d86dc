"""A data file -> views of the records that are wanted; reading stops as soon as they are there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from ... import lookup
from ...errors import ConfigError, DataError, RecordError
from .. import formats, sources
from ..picture_files import PictureFiles
from ..types import Origin
from .rows import Microscope, View

Found = tuple[Any, Origin]


@dataclass(frozen=True)
class Wanted:
    """Which records: `count` of them from number `first` on (None: all to the end)."""

    first: int = 0
    count: int | None = None


@dataclass
class Reading:
    """The records of a file under a microscope; iterate over it once.

    `format` is known after the first record, `more` (whether the file goes on behind the records wanted) at the end.
    """

    path: str
    microscope: Microscope
    wanted: Wanted = Wanted()
    format: str | None = None
    more: bool = False
    pictures: PictureFiles = field(default_factory=PictureFiles)

    def __iter__(self) -> Iterator[View]:
        """Yield a view of each record wanted.

        Raises:
            DataError: the file cannot be read, or holds no such record.
            ConfigError: the format is unknown.
        """
        if self.format is not None:
            lookup.find(formats.__name__, self.format, "format")
        records = self._records()
        first, count = self.wanted.first, self.wanted.count
        passed = sum(1 for _ in islice(records, first))
        last = None
        for last in islice(records, count):
            yield self._view(*last)
        if last is None:
            there = f"{passed} records, 0 to {passed - 1}" if passed > 1 else f"{passed} record{'s' * (passed != 1)}"
            raise DataError(f"There is no record {first} in {self.path}: the file has {there}.")
        self.more = count is not None and self._goes_on(records)

    @staticmethod
    def _goes_on(records: Iterator[Found]) -> bool:
        try:
            return next(records, None) is not None
        except DataError:
            return True  # with something that is broken, but nobody asked for it

    def _records(self) -> Iterator[Found]:
        """Yield all records; the first ones decide about the format."""
        scanned: Iterator[Found] = iter(sources.scan(self.path))
        if self.format is not None:
            yield from scanned
            return
        head: list[Found] = []
        broken = None
        try:
            head.extend(islice(scanned, formats.FIRST))
        except DataError as error:
            if not head:
                raise
            broken = error  # what stands before the broken place can be seen
        try:
            self.format = formats.detect([record for record, _ in head], self.path).__name__.rpartition(".")[2]
        except DataError as error:
            raise type(error)(str(error).replace("data.format", "--format")) from None
        yield from head
        if broken is not None:
            raise broken
        yield from scanned

    def _view(self, record: Any, origin: Origin) -> View:
        assert self.format is not None  # found out before the first record
        try:
            if isinstance(record, RecordError):
                raise record
            conversation = self.pictures.find(lookup.find(formats.__name__, self.format).parse(record, origin))
        except RecordError as error:
            return View(origin.record, origin, error=error)
        return self.microscope.look(conversation)


def wanted(record: int | None, count: int | None, default: int | None) -> Wanted:
    """Return which records the options --record and --count ask for; `default` is the count without either.

    Raises:
        ConfigError: a negative number, or a count of nothing.
    """
    if record is not None and record < 0:
        raise ConfigError(f"--record {record}: records are counted from 0.")
    if count is not None and count < 1:
        raise ConfigError(f"--count {count}: give the number of records to show, 1 or more.")
    if record is not None:
        return Wanted(record, count or 1)
    return Wanted(0, count or default)
