"""Records as Python prints them, with single quotes: no JSON, but `data convert --python` makes JSON of it.

Nothing is executed: the text is parsed, and only literals are accepted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError, RecordError
from ..types import Origin
from . import limits
from .block import Found
from .encodings import detect
from .paths import check_is_file
from .values import WHOLE

_NAMES: dict[str, Any] = {"true": True, "false": False, "null": None}


class _NoRecord(Exception):
    """What is written there is no value that JSON has."""


def python_records(path: str) -> Iterator[Found]:
    """Yield the records of a file that holds a list of Python dictionaries, or one in each line.

    Raises:
        DataError: no such file, too long, or no Python literals; the message names the line.
    """
    file = Path(path)
    check_is_file(file, path)
    if file.stat().st_size > limits.MAX_RECORD:
        raise DataError(
            f"'{path}' is longer than {limits.mebibytes(limits.MAX_RECORD)}. Split it, and convert the parts."
        )
    data = file.read_bytes()
    encoding = detect(data, whole=True)
    try:
        text = data[encoding.mark :].decode(encoding.codec)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: it is not {encoding.name}. Save the file as UTF-8.") from None
    try:
        yield from _list(text, path)
    except SyntaxError:
        yield from _lines(text, path)


def _list(text: str, path: str) -> Iterator[Found]:
    node = _parsed(text.strip("\ufeff \t\r\n"), path, 1).body
    nodes = node.elts if isinstance(node, (ast.List, ast.Tuple)) else [node]
    for number, element in enumerate(nodes):
        yield _record(element, Origin(path, number, element.lineno))


def _lines(text: str, path: str) -> Iterator[Found]:
    number = 0
    for line, part in enumerate(text.splitlines(), start=1):
        if not part.strip():
            continue
        try:
            node = _parsed(part.strip().rstrip(","), path, line).body
        except SyntaxError as error:
            raise DataError(
                f"{path}, line {line}: it is neither JSON nor a Python literal ({error.msg}). Mend that line by hand."
            ) from None
        yield _record(node, Origin(path, number, line))
        number += 1


def _parsed(text: str, path: str, line: int) -> ast.Expression:
    try:
        return ast.parse(text, mode="eval")
    except (RecursionError, MemoryError, ValueError) as error:
        raise DataError(f"{path}, line {line}: it cannot be read as Python literals: {error}.") from None


def _record(node: ast.expr, origin: Origin) -> Found:
    try:
        value = _value(node)
    except _NoRecord as error:
        return RecordError(origin, WHOLE, f"{error}.", "Mend the record by hand."), origin
    if not isinstance(value, dict):
        reason = f"it is not a dictionary but a {type(value).__name__}."
        return RecordError(origin, WHOLE, reason, "Write each record as {...} with named fields."), origin
    return value, origin


def _value(node: ast.expr) -> Any:
    """Return the value of a literal.

    Raises:
        _NoRecord: it is more than a literal, or a key stands twice.
    """
    if isinstance(node, ast.Name) and node.id in _NAMES:
        return _NAMES[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(element) for element in node.elts]
    if isinstance(node, ast.Dict):
        pairs = [(_value(key) if key is not None else None, _value(value)) for key, value in _pairs(node)]
        found = {}
        for key, value in pairs:
            if not isinstance(key, str):
                raise _NoRecord(f"a key is not a text: {key!r}")
            if key in found:
                raise _NoRecord(f"the key '{key}' stands twice in one dictionary, so that one of the two would be lost")
            found[key] = value
        return found
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _NoRecord(f"it holds {type(node).__name__}, which is no literal") from None
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise _NoRecord(f"it holds a {type(value).__name__}, which JSON does not have")


def _pairs(node: ast.Dict) -> Iterator[tuple[ast.expr | None, ast.expr]]:
    return zip(node.keys, node.values, strict=True)
