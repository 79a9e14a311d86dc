"""Files in, records with their place out: JSON lists and JSON lines, told apart by content and not by suffix.

Text is UTF-8, with or without a byte order mark, with LF or CRLF. A file is one of

* a list `[{...}, {...}]`, on one line or many;
* lines `{...}`, one object each; blank lines are allowed, U+2028 inside a text is no line end;
* objects one after the other over several lines each; a single object is one record.

A list wrapped in an object (`{"data": [...]}`) is one record here, which no format knows; the message of
`formats.detect` then says where the list is. `NaN` and `Infinity`, which Python writes, are read as numbers (no format
takes a number for a text). A key that stands twice in an object makes the record bad: one of the two would be lost.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import DataError, RecordError
from .json_faults import explain, refuse_foreign
from .types import Origin

WHOLE = "(record)"
"""What a RecordError names as its field when the record as a whole is at fault."""

_BOM = b"\xef\xbb\xbf"
_HEAD = 65536
_SPACE = re.compile(r"[ \t\n\r]*")


class _DuplicateKey(Exception):
    """A key stands twice in one object."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _DuplicateKey(next(name for name in names if names.count(name) > 1))
    return found


_STRICT = json.JSONDecoder(object_pairs_hook=_pairs)
_LOOSE = json.JSONDecoder()


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


def scan(path: str | Path) -> Iterator[tuple[dict[str, Any] | RecordError, Origin]]:
    """Yield every record of a file with its place, and in the place of a bad one the RecordError that names it.

    Raises:
        DataError: no such file, or it is not a file of records; the message names line and column.
    """
    file, name = Path(path), str(path)
    try:
        _check_is_file(file, name)
        with file.open("rb") as stream:
            head = stream.read(_HEAD)
            refuse_foreign(head, name)
            stream.seek(0)
            if head.removeprefix(_BOM).lstrip().startswith(b"["):
                yield from _list(_decode(stream.read(), name), name)
            elif _holds_lines(stream):
                stream.seek(0)
                yield from _lines(stream, name)
            else:
                stream.seek(0)
                yield from _sequence(_decode(stream.read(), name), name)
    except OSError as error:
        raise DataError(f"'{name}' cannot be read: {error.strerror}.") from None


def _check_is_file(file: Path, name: str) -> None:
    if file.is_file():
        return
    if file.is_dir():
        inside = sorted(path.name for path in file.iterdir() if path.suffix in (".json", ".jsonl"))
        there = f" It holds {', '.join(inside[:5])}{' ...' if len(inside) > 5 else ''}." if inside else ""
        raise DataError(f"'{name}' is a folder, not a file of records.{there} Give the path of a file.")
    if file.exists():
        raise DataError(f"'{name}' is no ordinary file (a device or a pipe?). Give the path of a JSON or JSONL file.")
    if not file.parent.is_dir():
        raise DataError(f"There is no file '{name}': the folder '{file.parent}' does not exist either.")
    beside = [path.name for path in file.parent.iterdir() if path.is_file()]
    close = difflib.get_close_matches(file.name, beside, n=1, cutoff=0.5)
    hint = f" Did you mean '{file.with_name(close[0])}'?" if close else " Check the path."
    raise DataError(f"There is no file '{name}'.{hint}")


def _decode(data: bytes, name: str, line: int = 1) -> str:
    """Return UTF-8 bytes as text; `line` is the number of the first line in them."""
    try:
        return data.removeprefix(_BOM).decode("utf-8") if line == 1 else data.decode("utf-8")
    except UnicodeDecodeError as error:
        line += data[: error.start].count(b"\n")
        raise DataError(
            f"{name}, line {line}: it is not UTF-8 (byte 0x{data[error.start]:02x} is no part of a character). It may "
            "be GBK or another older encoding, or cut within a character. Save the file as UTF-8."
        ) from None


def _holds_lines(stream: Any) -> bool:
    """Tell whether one of the first two lines that are not blank is an object by itself."""
    filled = (line for line in stream if line.removeprefix(_BOM).strip())
    for line in islice(filled, 2):
        try:
            if isinstance(json.loads(line.removeprefix(_BOM)), dict):
                return True
        except (ValueError, RecursionError):
            continue  # the parse that follows says what is wrong
    return False


def _lines(stream: Any, name: str) -> Iterator[tuple[dict[str, Any] | RecordError, Origin]]:
    """One object a line. Binary files end lines at LF alone, so U+2028 and the like stay inside texts."""
    record = 0
    for number, data in enumerate(stream, start=1):
        text = _decode(data, name, number).rstrip(" \t\r\n")
        if not text:
            continue
        origin = Origin(name, record, number)
        record += 1
        try:
            value, end = _value(text, _skip(text, 0), origin)
            if end < len(text) and not isinstance(value, RecordError):
                raise json.JSONDecodeError("Extra data", text, end)
        except json.JSONDecodeError as error:
            value = RecordError(origin, WHOLE, f"it is not valid JSON at column {error.pos + 1}:", explain(error))
        yield value, origin


def _list(text: str, name: str) -> Iterator[tuple[dict[str, Any] | RecordError, Origin]]:
    """The records between [ and ]."""
    at = _skip(text, _skip(text, 0) + 1)
    if text.startswith("]", at):
        raise DataError(f"'{name}' holds an empty list: there is no record to learn from.")
    record, line, counted = 0, 1, 0
    while True:
        line, counted = line + text.count("\n", counted, at), at
        origin = Origin(name, record, line)
        try:
            value, end = _value(text, at, origin)
            at = _skip(text, end)
            if text[at : at + 1] not in (",", "]"):
                raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        except json.JSONDecodeError as error:
            raise _broken(error, name, record) from None
        yield value, origin
        if text[at] == "]":
            break
        record, at = record + 1, _skip(text, at + 1)
    if (rest := _skip(text, at + 1)) < len(text):
        raise DataError(
            f"{name}, {_place(text, rest)}: the list of {record + 1} records is over, but the file goes on with "
            f"'{text[rest : rest + 20]}'. Two files in one? Join them into one list, or write one object a line."
        )


def _sequence(text: str, name: str) -> Iterator[tuple[dict[str, Any] | RecordError, Origin]]:
    """Objects one after the other, each over several lines."""
    record, line, counted, at = 0, 1, 0, _skip(text, 0)
    while at < len(text):
        line, counted = line + text.count("\n", counted, at), at
        origin = Origin(name, record, line)
        try:
            if text[at] == "," and record:
                raise json.JSONDecodeError("Extra data", text, at)
            value, end = _value(text, at, origin)
        except json.JSONDecodeError as error:
            raise _broken(error, name, record) from None
        yield value, origin
        record, at = record + 1, _skip(text, end)


def _value(text: str, at: int, origin: Origin) -> tuple[dict[str, Any] | RecordError, int]:
    """Return the object that begins at `at`, or the RecordError in its place, and where it ends."""
    try:
        value, end = _STRICT.raw_decode(text, at)
    except _DuplicateKey as error:
        _, end = _LOOSE.raw_decode(text, at)
        reason = "the key stands twice in one object, so that one of the two would be lost."
        return RecordError(origin, str(error), reason, "Remove or rename one."), end
    except RecursionError:
        raise json.JSONDecodeError("Nested too deeply", text, at) from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:  # a number with thousands of digits
        raise json.JSONDecodeError(str(error), text, at) from None
    if isinstance(value, dict):
        return value, end
    kind = "a list inside the list" if isinstance(value, list) else f"{text[at:end][:40]}"
    reason = f"it is not an object but {kind}."
    return RecordError(origin, WHOLE, reason, "Write each record as {...} with named fields."), end


def _skip(text: str, at: int) -> int:
    """Return where the white space that begins at `at` ends."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _place(text: str, at: int) -> str:
    return f"line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def _broken(error: json.JSONDecodeError, name: str, record: int) -> DataError:
    place = f"line {error.lineno}, column {error.colno}"
    return DataError(f"{name}, {place} (record {record}): it is not valid JSON. {explain(error)}")
