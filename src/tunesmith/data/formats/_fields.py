"""What every format asks of a field: that it is there, that it is a text, and that nothing is left unread."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import Any

from ...errors import RecordError
from ..types import Origin

_UNREAD = {
    "images": "pictures",
    "image": "pictures",
    "videos": "videos",
    "audios": "sounds",
    "tools": "tool descriptions",
    "chosen": "preference data",
    "rejected": "preference data",
}


def text_of(value: Any, field: str, origin: Origin) -> str:
    """Return a value that must be a text, unchanged.

    Raises:
        RecordError: it is something else, or cannot be written as UTF-8.
    """
    if not isinstance(value, str):
        mend = "Write the text itself, in quotes." if value is not None else "Give it a text."
        raise RecordError(origin, field, f"it is {kind(value)}, not a text.", mend)
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            code = f"\\u{ord(value[error.start]):04x}"
            reason = f"character {error.start} is half of a surrogate pair ({code}), which no text can hold."
            raise RecordError(origin, field, reason, "Write the whole character, or remove it.") from None
    return value


def filled(value: Any, field: str, origin: Origin, what: str) -> str:
    """Return a text that must hold more than white space; `what` says what is missing otherwise.

    Raises:
        RecordError: it is no text, or blank.
    """
    text = text_of(value, field, origin)
    if not text.strip():
        state = "blank (white space only)" if text else "empty"
        raise RecordError(origin, field, f"it is {state}: {what}.", "Fill it in, or remove the record.")
    return text


def kind(value: Any) -> str:
    """Return what a JSON value is, in words."""
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def refuse_unread(record: dict[str, Any], origin: Origin) -> None:
    """Check that a record holds nothing that changes its meaning and that the text formats do not read.

    Raises:
        RecordError: pictures, tools, or preferences; leaving them out without a word would train something else.
    """
    for field, what in _UNREAD.items():
        if record.get(field):
            reason = f"it holds {what}, which this format does not read."
            raise RecordError(origin, field, reason, "Remove the field if the text alone is meant.")
    if isinstance(record.get("label"), bool):
        reason = "it marks preference data: answers labelled false must not be learned."
        raise RecordError(origin, "label", reason, "Keep the records labelled true, and remove the field.")


def refuse_misspelt(record: dict[str, Any], known: tuple[str, ...], origin: Origin) -> None:
    """Check that no field is a misspelt name of a known field that is missing.

    Raises:
        RecordError: names the misspelt field and the right name.
    """
    for field in record:
        meant = closest(field, known) if field not in known else None
        if meant is not None and meant not in record:
            reason = f"there is no such field, and '{meant}' is missing."
            raise RecordError(origin, field, reason, f"Rename it to '{meant}'.")


@lru_cache(4096)
def closest(name: str, known: tuple[str, ...]) -> str | None:
    """Return the known name that `name` is or is a misspelling of, or None."""
    return next(iter(difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.8)), None)
