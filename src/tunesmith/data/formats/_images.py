"""Pictures of a conversation: what a record calls them, and which mark in the texts stands for which.

Whether their files are there, and whether they may be read, is asked later (`data/picture_files.py`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import RecordError
from ..types import ImageRef, Message, Origin
from ._fields import filled, kind

MARK = "<image>"
NUMBERED = re.compile(r"<image_\d+>")
WEB = re.compile(r"https?:", re.IGNORECASE)
"""How an address of the web begins."""


def refer(mark: str, path: Any, field: str, origin: Origin) -> ImageRef:
    """Return what stands for a picture; a relative path begins at the data file's folder.

    An address of the web stays as it is.

    Raises:
        RecordError: no path, or an address of another kind.
    """
    name = filled(path, field, origin, "no picture is named")
    if re.match(r"(data|s3|oss|file|ftp):", name, re.IGNORECASE):
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        reason = f"'{shown}' is an address; pictures are read from files."
        raise RecordError(origin, field, reason, "Save the picture as a file, and write its path.")
    return ImageRef(mark, name if WEB.match(name) else str(Path(origin.file).parent / name), name, field)


def listed(value: Any, origin: Origin) -> list[tuple[str, Any]]:
    """Return the pictures of the field `images`, each with the name of its place; a single text is one picture.

    Raises:
        RecordError: it is no list.
    """
    if isinstance(value, str):
        return [("images", value)] if value else []
    if not isinstance(value, list):
        raise RecordError(origin, "images", f"it is {kind(value)}, not a list.", 'Write a list of paths: ["a.jpg"].')
    return [(f"images[{number}]", path) for number, path in enumerate(value)]


def numbered(
    messages: Sequence[Message], pictures: Sequence[tuple[str, Any]], places: Sequence[str], origin: Origin
) -> tuple[tuple[Message, ...], tuple[ImageRef, ...]]:
    """Return the messages with the n-th `<image>` rewritten to `<image_00>`, `<image_01>` ..., and what they stand for.

    `pictures` are (field, path) in the order of their marks; `places` name the messages.

    Raises:
        RecordError: there are more marks than pictures or fewer, or one stands in an answer.
    """
    marks = sum(message.content.count(MARK) for message in messages)
    if marks != len(pictures):
        reason = f"there are {len(pictures)} pictures, but '{MARK}' stands {marks} times in the texts."
        mend = f"Put '{MARK}' where each picture belongs, once for each."
        raise RecordError(origin, pictures[0][0].partition("[")[0] if pictures else "images", reason, mend)
    changed: list[Message] = []
    refs: list[ImageRef] = []
    for message, place in zip(messages, places, strict=True):
        first, *rest = message.content.split(MARK)
        if pictures and (found := NUMBERED.search(message.content)):
            reason = f"it holds '{found[0]}', which is how this program numbers pictures itself."
            raise RecordError(origin, place, reason, f"Write '{MARK}' for each picture, in the order of 'images'.")
        if rest and message.role == "assistant":
            reason = f"'{MARK}' stands in an answer: the model reads pictures, but does not give any."
            raise RecordError(origin, place, reason, "Move it into the user's message.")
        text = first
        for part in rest:
            field, path = pictures[len(refs)]
            refs.append(refer(f"<image_{len(refs):02d}>", path, field, origin))
            text += refs[-1].mark + part
        changed.append(replace(message, content=text) if rest else message)
    return tuple(changed), tuple(refs)
