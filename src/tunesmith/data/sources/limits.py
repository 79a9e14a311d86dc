"""How much of a file is held at once, and how large one record may be."""

from __future__ import annotations

CHUNK = 1 << 20
"""How many bytes or characters are read at a time."""

HEAD = 1 << 21
"""From how many first bytes it is decided what a file is and how its text is encoded."""

BLOCK_RECORDS = 2000
BLOCK_SIZE = 1 << 21
"""When a block is full: this many records, or records with about this many bytes or characters."""

MAX_RECORD = 64 << 20
"""How long one record may be, in bytes or characters of its text."""

MAX_DEPTH = 100
"""How deep the lists and objects of one record may be nested."""

BOMB_RATIO = 1000
BOMB_SIZE = 256 << 20
"""A packed file is refused when it unpacks to more than BOMB_SIZE bytes and to more than BOMB_RATIO times its own."""


def mebibytes(size: int) -> str:
    """Return a limit for people: "64 MiB"; small ones, which only tests set, in bytes."""
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size} bytes"
