"""Files that hold no records: what they seem to be, and what to do instead."""

from __future__ import annotations

from ...errors import DataError

_MAGIC = (
    (b"\x1f\x8b", "a gzip archive inside of another archive", "Unpack it once."),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive inside of another archive", "Unpack it once."),
    (b"BZh", "a bzip2 archive", "Unpack it first (bunzip2), or pack it with gzip or zstd."),
    (b"\xfd7zXZ", "an xz archive", "Unpack it first (unxz), or pack it with gzip or zstd."),
    (b"7z\xbc\xaf", "a 7z archive", "Unpack it first."),
    (b"Rar!", "a RAR archive", "Unpack it first."),
    (b"PK\x03\x04", "a ZIP archive or an Office document", "Unpack it, or export the table as CSV or JSON."),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "Export the table as CSV or JSON."),
    (b"FEA1", "a Feather file of version 1", "Write it as Parquet."),
    (b"%PDF", "a PDF document", "Give a JSON or JSONL file."),
    (b"SQLite format", "an SQLite data base", "Export the table as CSV or JSON."),
    (b"version https://git-lfs", "a Git LFS pointer and not the data itself", "Run 'git lfs pull' where it came from."),
)


def refuse_archive(head: bytes, name: str) -> None:
    """Check by its first bytes that a file can be a text.

    Raises:
        DataError: it is clearly something else; the message says what it seems to be.
    """
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, what, mend in _MAGIC:
        if begin.startswith(magic):
            raise DataError(f"'{name}' is {what}, not JSON. {mend}")
    if head[257:262] == b"ustar":
        raise DataError(f"'{name}' is a tar archive, not JSON. Unpack it first (tar -x).")
    if b"\0" in head:
        raise DataError(f"'{name}' is a binary file (it holds zero bytes), not JSON. Give a JSON or JSONL file.")


def refuse_packed_table(name: str, packing: str) -> None:
    """Raise the error for a Parquet or Arrow file inside of an archive: it must be read from both ends.

    Raises:
        DataError: always.
    """
    raise DataError(
        f"'{name}' is a Parquet or Arrow file that is packed with {packing} as a whole. Unpack it first: it is "
        "compressed inside anyway."
    )


def refuse_text(start: str, name: str, prose: bool = False) -> None:
    """Check by its beginning that a text can hold JSON records, or a table or prose if `prose`.

    Raises:
        DataError: it is empty, or clearly something else; the message says what it seems to be.
    """
    text = start.lstrip()
    if not text:
        raise DataError(f"'{name}' is empty: there is no record to learn from.")
    if text.startswith("<") and (not prose or text[:9].lower() in ("<!doctype", "<html>") or text.startswith("<?xml")):
        raise DataError(
            f"'{name}' is a web page (HTML or XML), not JSON. A download often saves the page around a file; "
            "use the link to the raw file."
        )
    if not prose and text[0] not in "[{":
        begin = text[:60].splitlines()[0].rstrip("\ufffd")
        raise DataError(
            f"{name}, line {start[: len(start) - len(text)].count(chr(10)) + 1}, column 1: it is not JSON; it begins "
            f"with '{begin}'. Records are a list [{{...}}, ...] or one {{...}} a line; tables are known by the ending "
            ".csv or .tsv, plain texts by .txt or .md."
        )
