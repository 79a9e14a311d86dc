"""CSV and TSV files: the first line names the columns, every other row is a record of texts."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator

from ...errors import DataError, RecordError
from ..types import Origin
from . import limits
from .cells import row_record
from .json_elements import Sized
from .text import Text

_DELIMITERS = (",", "\t", ";", "|")
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_DATA = re.compile(r"[。！？\n]|[.!?]\s|^[-+]?\d+([.,]\d+)?$")
"""What stands in a cell of data and not in the name of a column: sentences and numbers."""
_LONG_NAME = 80


def csv_records(text: Text, delimiter: str | None) -> Iterator[Sized]:
    """Yield the rows of a table; without `delimiter`, the header line decides.

    Raises:
        DataError: there is no header, or one that would lose a column; the message names the line.
    """
    lines = _Lines(text)
    delimiter = delimiter or _delimiter(lines.peek())
    if csv.field_size_limit() < limits.MAX_RECORD:
        csv.field_size_limit(limits.MAX_RECORD)  # the module's own limit, 128 KiB, is one for the whole process
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    columns: list[str] = []
    record = 0
    while True:
        lines.begin()
        try:
            row = next(rows, None)
        except csv.Error as error:
            if not columns:
                raise DataError(f"{text.name}, line {lines.start}: the header cannot be read: {error}.") from None
            origin = Origin(text.name, record, lines.start)
            yield (_broken(origin, error, lines), origin), lines.length, text.position()
            record += 1
            continue
        if row is None:
            break
        if not row or (len(row) == 1 and not row[0].strip() and len(columns) != 1):
            continue  # a blank line
        if not columns:
            columns = _header(row, text.name, lines.start, delimiter)
            continue
        origin = Origin(text.name, record, lines.start)
        if len(row) == len(columns):
            found = row_record(dict(zip(columns, row, strict=True)), origin)
        else:
            found = _ragged(origin, row, columns, delimiter)
        yield (found, origin), lines.length, text.position()
        record += 1
    if not record:
        raise DataError(f"'{text.name}' is empty: it has no row under its header.")


class _Lines:
    """The lines of a text for csv.reader, which wants their line ends; knows where the present row began."""

    def __init__(self, text: Text) -> None:
        self.name, self.start, self.length, self._read = text.name, 1, 0, 0
        self._lines = self._cut(text.characters())
        self._ahead: deque[str] = deque()

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._ahead.popleft() if self._ahead else next(self._lines)
        self._read += 1
        self.length += len(line)
        if self.length > limits.MAX_RECORD:
            raise DataError(
                f"{self.name}, line {self.start}: the row is longer than {limits.mebibytes(limits.MAX_RECORD)}, which "
                "is the limit for one record. Is a quote not closed?"
            )
        if "\0" in line:
            raise DataError(f"{self.name}, line {self._read}: a zero byte stands in the table. Is it damaged?")
        return line

    def begin(self) -> None:
        """Note that the next line begins a row."""
        self.start, self.length = self._read + 1, 0

    def peek(self) -> str:
        """Return the first line that is not blank without taking it."""
        for line in self._lines:
            self._ahead.append(line)
            if line.strip():
                return line
        return ""

    def _cut(self, pieces: Iterator[str]) -> Iterator[str]:
        held: list[str] = []
        size = 0
        for piece in pieces:
            first, *more = piece.split("\n")
            held.append(first)
            size += len(first)
            if size > limits.MAX_RECORD:
                self.length = size
                yield "".join(held)
            for line in more:
                yield "".join(held) + "\n"
                held, size = [line], len(line)
        if rest := "".join(held):
            yield rest


def _delimiter(header: str) -> str:
    """Return what stands most often between the quotes of the header line; a comma if nothing does."""
    bare = re.sub(r'"[^"]*"', "", header)
    return max(_DELIMITERS, key=lambda one: (bare.count(one), -_DELIMITERS.index(one)))


def _header(row: list[str], name: str, line: int, delimiter: str) -> list[str]:
    """Return the names of the columns."""
    columns = [cell.strip() for cell in row]
    seems = next((cell for cell in columns if len(cell) > _LONG_NAME or _DATA.search(cell)), None)
    if seems is not None:
        begin = " ".join(seems[:40].split())
        raise DataError(
            f"{name}, line {line}: the first line must name the columns, but '{begin}' is no name. Write a line "
            "such as instruction,input,output above the rows."
        )
    for number, column in enumerate(columns, start=1):
        if not column:
            raise DataError(
                f"{name}, line {line}: column {number} of {len(columns)} (between {_NAMES[delimiter]}) has no name. "
                "Name it, or remove it (pandas writes its index so: use index=False)."
            )
        if columns.count(column) > 1:
            raise DataError(f"{name}, line {line}: two columns are called '{column}': one would be lost. Rename one.")
    return columns


def _ragged(origin: Origin, row: list[str], columns: list[str], delimiter: str) -> RecordError:
    reason = f"it has {len(row)} cells (between {_NAMES[delimiter]}), but the header names {len(columns)} columns."
    if len(row) < len(columns):
        return RecordError(origin, columns[len(row)], reason, "Fill in what is missing; an empty cell is written too.")
    more = f"Put cells that hold {_NAMES[delimiter]} or line breaks into double quotes."
    return RecordError(origin, "(record)", reason, more)


def _broken(origin: Origin, error: csv.Error, lines: _Lines) -> RecordError:
    if "unexpected end" in str(error):
        reason = "a cell begins with a double quote that is never closed, so that the rest of the file is in it."
        return RecordError(origin, "(record)", reason, "Close it.")
    reason = f"its quotes are not those of CSV ({error})."
    mend = 'Put the cell into double quotes and write each double quote inside of it twice ("").'
    return RecordError(origin, "(record)", reason, mend)
