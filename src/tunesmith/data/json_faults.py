"""Why a file is no JSON, in words for a person: what it seems to be instead, and what to do."""

from __future__ import annotations

import json
import re

from ..errors import DataError

_MAGIC = (
    (b"\x1f\x8b", "a gzip archive", "Unpack it first (gunzip)."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "Unpack it first (unzstd)."),
    (b"BZh", "a bzip2 archive", "Unpack it first (bunzip2)."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first (unxz)."),
    (b"PK\x03\x04", "a ZIP archive or an Office document", "Unpack it, or export the table as JSON."),
    (b"PAR1", "a Parquet file", "Convert it to JSON lines first."),
    (b"ARROW1", "an Arrow file", "Convert it to JSON lines first."),
    (b"%PDF", "a PDF document", "Give a JSON or JSONL file."),
    (b"SQLite format", "an SQLite data base", "Export the table as JSON."),
    (b"\xff\xfe", "text in UTF-16", "Save it as UTF-8."),
    (b"\xfe\xff", "text in UTF-16", "Save it as UTF-8."),
    (b"version https://git-lfs", "a Git LFS pointer and not the data itself", "Run 'git lfs pull' where it came from."),
)
_PYTHON = re.compile(r"(True|False|None|nan|inf)\b")


def refuse_foreign(head: bytes, name: str) -> None:
    """Check by its first bytes that a file can hold JSON records.

    Raises:
        DataError: it is empty, or clearly something else; the message says what it seems to be.
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise DataError(f"'{name}' is empty: there is no record to learn from.")
    for magic, what, mend in _MAGIC:
        if text.startswith(magic):
            raise DataError(f"'{name}' is {what}, not JSON. {mend}")
    if b"\0" in head:
        raise DataError(f"'{name}' is a binary file (it holds zero bytes), not JSON. Give a JSON or JSONL file.")
    if text.startswith(b"<"):
        raise DataError(
            f"'{name}' is a web page (HTML or XML), not JSON. A download often saves the page around a file; "
            "use the link to the raw file."
        )
    if text[:1] not in b"[{":
        begin = text[:60].decode("utf-8", "replace").splitlines()[0].rstrip("\ufffd")
        raise DataError(
            f"{name}, line {head[: len(head) - len(text)].count(10) + 1}, column 1: it is not JSON; it begins with "
            f"'{begin}'. Records are a list [{{...}}, ...] or one {{...}} a line."
        )


def explain(error: json.JSONDecodeError) -> str:
    """Return what is wrong at the place of a JSON error, and the mend, in one or two sentences."""
    text, at = error.doc, error.pos
    here, before = text[at : at + 12].lstrip(), text[max(0, at - 100) : at].rstrip()[-1:]
    if not here:
        return "It ends in the middle of a record: cut off by a broken download or copy? Fetch or write it again."
    if error.msg.startswith("Unterminated string"):
        return "It ends inside the text that begins here: a closing quote is missing, or the rest was cut off."
    if error.msg.startswith("Invalid control character"):
        return "A text holds a raw line break or tab: write \\n or \\t, or close the quote that is missing before."
    if error.msg.startswith("Invalid \\"):
        return "A backslash in a text must be doubled (\\\\), or begin an escape such as \\n."
    if here[0] == "'":
        return "It has single quotes, as Python prints: JSON needs double ones. Write it with json.dumps."
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
        return f"The record is over, but the line goes on with '{here}'. Write one object a line."
    if error.msg.startswith("Expecting ',' delimiter"):
        return f"A comma or a closing bracket is missing before '{here}'; or a quote inside a text lacks its backslash."
    return (
        f"{error.msg}, but there is '{' '.join(here.split())}'."
        if error.msg.startswith("Expecting")
        else f"{error.msg}."
    )
