"""Files in, records with their place out: told apart by content, read as a stream, whatever their size.

Read here are JSON lists, JSON lines and objects one after the other, also packed with gzip or Zstandard; Parquet and
Arrow; CSV and TSV with a header line; plain texts (.txt, .md) as one record each. In JSON

* lines hold `{...}`, one object each; blank lines are allowed, U+2028 inside a text is no line end;
* a list may stand on one line or many, and objects without a list too; a single object is one record;
* a list wrapped in an object (`{"data": [...]}`) is one record, which no format knows; the message of
  `formats.detect` then says where the list is;
* `NaN` and `Infinity`, which Python writes, are read as numbers (no format takes a number for a text);
* a key that stands twice in an object makes the record bad: one of the two would be lost.

Lines end with LF, CRLF or CR. Text is UTF-8; other encodings are told by a byte order mark or by their characters, and
`note` says so. Nothing else is changed on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError, RecordError
from ..types import Origin
from .block import Block, Found
from .contents import file_blocks, notes
from .paths import check_is_file, expand
from .python_text import python_records
from .values import WHOLE

__all__ = ["WHOLE", "Block", "Found", "blocks", "expand", "note", "python_records", "read_records", "scan"]


def blocks(path: str | Path) -> Iterator[Block]:
    """Yield the records of a file in blocks, which may be parsed elsewhere; see `Block`.

    Raises:
        DataError: no such file, or it is not a file of records; the message names line and column.
    """
    file, name = Path(path), str(path)
    try:
        check_is_file(file, name)
        with file.open("rb", buffering=0) as raw:
            yield from file_blocks(raw, name)
    except OSError as error:
        raise _unreadable(name, error) from None


def scan(path: str | Path) -> Iterator[tuple[dict[str, Any] | RecordError, Origin]]:
    """Yield every record of a file with its place, and in the place of a bad one the RecordError that names it.

    Raises:
        DataError: no such file, or it is not a file of records; the message names line and column.
    """
    for block in blocks(path):
        yield from block.records()


def read_records(path: str | Path) -> Iterator[tuple[dict[str, Any], Origin]]:
    """Yield every record of a file with its place.

    Raises:
        RecordError: a record that is broken or is not an object.
        DataError: no such file, or it is not a file of records; the message names line and column.
    """
    for record, origin in scan(path):
        if isinstance(record, RecordError):
            raise record
        yield record, origin


def note(path: str | Path) -> list[str]:
    """Return what a report should say about how a file is read, such as "read as GB18030 (not UTF-8)".

    Raises:
        DataError: no such file, or it cannot be unpacked.
    """
    file, name = Path(path), str(path)
    try:
        check_is_file(file, name)
        with file.open("rb", buffering=0) as raw:
            return notes(raw, name)
    except OSError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"'{name}' cannot be read: {error.strerror or error}.")
