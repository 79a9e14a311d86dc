"""Why a file is no JSON, in words for a person: what it seems to be instead, and what to do."""

from __future__ import annotations

import json
import re
import shlex

_PYTHON = re.compile(r"(True|False|None|nan|inf)\b")


def explain(error: json.JSONDecodeError, file: str = "FILE") -> str:
    """Return what is wrong at the place of a JSON error, and the mend, in one or two sentences; `file` is its name."""
    text, at = error.doc, error.pos
    here, before = text[at : at + 12].lstrip(), text[max(0, at - 100) : at].rstrip()[-1:]
    shown = " ".join(here.split())
    if not here:
        return "It ends in the middle of a record: cut off by a broken download or copy? Fetch or write it again."
    if error.msg.startswith("Unterminated string"):
        return "It ends inside the text that begins here: a closing quote is missing, or the rest was cut off."
    if error.msg.startswith("Invalid control character"):
        return "A text holds a raw line break or tab: write \\n or \\t, or close the quote that is missing before."
    if error.msg.startswith("Invalid \\"):
        return "A backslash in a text must be doubled (\\\\), or begin an escape such as \\n."
    if here[0] == "\ufeff":
        return "A byte order mark stands inside the file: two files put together? Remove it."
    if here[0] == "'":
        return (
            "It has single quotes, as Python prints: JSON needs double ones. Write it with json.dumps, or make JSON of "
            f"it with: tunesmith data convert {shlex.quote(file)} --python --to messages --output NEW.jsonl"
        )
    if word := _PYTHON.match(here):
        return f"'{word[0]}' is Python's spelling, not JSON's. Write it with json.dumps."
    if here[0] in "“”„«":
        return 'A typographic quote stands where JSON needs a straight one (").'
    if (here[0] in "]}" and before == ",") or (here[0] == "," and text[at + 1 : at + 100].lstrip()[:1] in ("]", "}")):
        return "There is a comma too many before the closing bracket. Remove it."
    if here.startswith(("//", "/*", "#")):
        return "JSON has no comments. Remove it."
    if error.msg == "Extra data" and here[0] == ",":
        return "A comma stands between records that are not in a list. Remove the commas, or put [ and ] around all."
    if error.msg == "Extra data":
        return f"The record is over, but the line goes on with '{shown}'. Write one object a line."
    if error.msg.startswith("Expecting ',' delimiter"):
        return (
            f"A comma or a closing bracket is missing before '{shown}'; or a quote inside a text lacks its backslash."
        )
    return f"{error.msg}, but there is '{shown}'." if error.msg.startswith("Expecting") else f"{error.msg}."
