"""One JSON value: an object is a record, anything else and any doubtful object is a RecordError in its place."""

from __future__ import annotations

import json
import re
from typing import Any

from ...errors import RecordError
from ..types import Origin
from . import limits

WHOLE = "(record)"
"""What a RecordError names as its field when the record as a whole is at fault."""

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


def take(text: str, at: int, origin: Origin) -> tuple[dict[str, Any] | RecordError, int]:
    """Return the object that begins at `at`, or the RecordError in its place, and where it ends.

    Raises:
        json.JSONDecodeError: no JSON value begins there, or it is nested too deeply for Python.
    """
    try:
        value, end = _STRICT.raw_decode(text, at)
    except _DuplicateKey as error:
        _, end = _raw(text, at)
        reason = "the key stands twice in one object, so that one of the two would be lost."
        return RecordError(origin, str(error), reason, "Remove or rename one."), end
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise _refused(error, text, at) from None
    if not isinstance(value, dict):
        kind = "a list inside the list" if isinstance(value, list) else f"{text[at:end][:40]}"
        reason = f"it is not an object but {kind}."
        return RecordError(origin, WHOLE, reason, "Write each record as {...} with named fields."), end
    if text.count("[", at, end) + text.count("{", at, end) > limits.MAX_DEPTH and _depth(value) > limits.MAX_DEPTH:
        reason = f"its lists and objects are nested more than {limits.MAX_DEPTH} deep."
        return RecordError(origin, WHOLE, reason, "Flatten it."), end
    return value, end


def _raw(text: str, at: int) -> tuple[Any, int]:
    """Decode without looking for keys that stand twice."""
    try:
        return _LOOSE.raw_decode(text, at)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise _refused(error, text, at) from None


def _refused(error: Exception, text: str, at: int) -> json.JSONDecodeError:
    """Return what Python refuses for other reasons (a number with thousands of digits) as an error with a place."""
    reason = "Nested too deeply" if isinstance(error, RecursionError) else str(error)
    return json.JSONDecodeError(reason, text, at)


def _depth(value: Any) -> int:
    """Return how deep lists and objects are nested, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        parts = [part for one in level for part in (one.values() if isinstance(one, dict) else one)]
        level = [part for part in parts if isinstance(part, (dict, list))]
    return depth


def skip(text: str, at: int) -> int:
    """Return where the white space that begins at `at` ends."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def whole(text: str) -> Any:
    """Return the JSON value that a text is.

    Raises:
        json.JSONDecodeError: it is not valid JSON, is nested too deeply, or a key stands twice in one object.
    """
    at = skip(text, 0)
    try:
        value, end = _STRICT.raw_decode(text, at)
    except _DuplicateKey as error:
        raise json.JSONDecodeError(f"The key '{error}' stands twice in one object", text, at) from None
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError) as error:
        raise _refused(error, text, at) from None
    if (rest := skip(text, end)) < len(text):
        raise json.JSONDecodeError("Extra data", text, rest)
    if _depth([value]) > limits.MAX_DEPTH:
        raise json.JSONDecodeError("Nested too deeply", text, at)
    return value
