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
    "functions": "tool descriptions",
    "system_prompt": "a system text",
    "chosen": "preference data",
    "rejected": "preference data",
}
TURNS = ("messages", "conversations", "instruction", "chosen", "rejected")
"""Fields that decide about a record's format, whatever else it holds: `text` beside `messages` is only a copy."""
_JUDGED = ("messages", "conversations", "instruction", "prompt", "question", "query")
"""Beside these, a true or false `label` says whether the answer is a good one."""
_WORDS = {True: True, False: False, "true": True, "false": False}


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


def present(record: dict[str, Any], field: str, origin: Origin, what: str) -> Any:
    """Return a field's value, which must not be missing or null; `what` says what the record lacks otherwise.

    Raises:
        RecordError: names the fields that the record has instead.
    """
    value = record.get(field)
    if value is None and field in record:
        raise RecordError(origin, field, f"it is null: {what}.", "Fill it in, or remove the record.")
    if value is None:
        keys = ", ".join(repr(str(key)) for key in list(record)[:8]) or "none"
        reason = f"it is missing: {what}. The record has the fields {keys}."
        raise RecordError(origin, field, reason, "Add it, or remove the record: all records of a file have one format.")
    return value


def empty(value: Any) -> bool:
    """Tell whether a value stands for a field that is left out: null, an empty text (CSV), list or object."""
    return value is None or (isinstance(value, (str, list, dict)) and not value)


def kind(value: Any) -> str:
    """Return what a JSON value is, in words."""
    names = {dict: "an object", list: "a list", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def refuse_unread(record: dict[str, Any], origin: Origin, *read: str) -> None:
    """Check that a record holds nothing that changes its meaning and that its format does not read.

    `read` are those of the fields in question that the format does read.

    Raises:
        RecordError: pictures, tools, or preferences; leaving them out without a word would train something else.
    """
    for field, what in _UNREAD.items():
        if field in record and field not in read and not empty(record[field]) and record[field] != "[]":
            reason = f"it holds {what}, which this format does not read."
            mend = "Remove the field if the text alone is meant."
            if field in ("chosen", "rejected"):
                mend = "Choose the format 'preference', or remove the field."
            elif field == "image" and "images" in read:
                mend = "Write a list of paths into 'images', or remove the field if the text alone is meant."
            raise RecordError(origin, field, reason, mend)
    for field in ("label", "kto_tag"):
        if field not in read and isinstance(record.get(field), bool):
            reason = "it marks preference data: answers labelled false must not be learned."
            mend = "Choose the format 'preference', or keep the records labelled true and remove the field."
            raise RecordError(origin, field, reason, mend)


def refuse_misspelt(record: dict[str, Any], known: tuple[str, ...], origin: Origin) -> None:
    """Check that no field is a misspelt name of a known field that is missing.

    Raises:
        RecordError: names the misspelt field and the right name.
    """
    for field, value in record.items():
        meant = closest(field, known) if field not in known and not empty(value) else None
        if meant is not None and meant not in record:
            reason = f"there is no such field, and '{meant}' is missing."
            raise RecordError(origin, field, reason, f"Rename it to '{meant}'.")


def has(record: Any, field: str, known: tuple[str, ...]) -> bool:
    """Tell whether a record has the field, or a misspelt name of it: it is to get the message that says so."""
    return isinstance(record, dict) and (field in record or any(closest(key, known) == field for key in record))


def is_preference(record: Any) -> bool:
    """Tell whether a record says which answers are good: `chosen` and `rejected`, or a true or false `label`."""
    if not isinstance(record, dict):
        return False
    answers = ("chosen", "rejected")
    if any(closest(key, answers) and not empty(value) for key, value in record.items()):
        return True
    return verdict(record) is not None and any(name in record for name in _JUDGED)


def verdict(record: dict[str, Any]) -> tuple[str, bool] | None:
    """Return the field that judges the record's answer and what it says, or None; CSV writes it as a text."""
    for field in ("label", "kto_tag"):
        value = record.get(field)
        word = value.strip().casefold() if isinstance(value, str) else value
        if isinstance(word, (bool, str)) and word in _WORDS:
            return field, _WORDS[word]
    return None


@lru_cache(4096)
def closest(name: str, known: tuple[str, ...]) -> str | None:
    """Return the known name that `name` is or is a misspelling of, or None."""
    if name in known:
        return name
    return next(iter(difflib.get_close_matches(name.casefold(), known, n=1, cutoff=0.75)), None)
