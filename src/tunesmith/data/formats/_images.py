"""Pictures of a conversation: where their files are, and which mark in the texts stands for which.

Files are looked for in the folder of the data file. They are not opened here.
"""

from __future__ import annotations

import os
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


def find_file(path: Any, field: str, origin: Origin) -> str:
    """Return where a picture lies; a relative path begins at the data file's folder.

    Raises:
        RecordError: no such file; the message holds the path that was looked for.
    """
    name = filled(path, field, origin, "no picture is named")
    if re.match(r"(https?|data|s3|oss|file):", name):
        shown = name if len(name) <= 80 else f"{name[:77]}..."
        reason = f"'{shown}' is an address; pictures are read from files."
        raise RecordError(origin, field, reason, "Save the picture as a file, and write its path.")
    found = str(Path(origin.file).parent / name)
    if not os.path.isfile(found):
        state = "is a folder" if os.path.isdir(found) else "does not exist"
        mend = "Paths are relative to the folder of the data file. Mend the path, or remove the record."
        raise RecordError(origin, field, f"the picture '{found}' {state}.", mend)
    return found


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
        RecordError: there are more marks than pictures or fewer, one stands in an answer, or a file is missing.
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
            refs.append(ImageRef(f"<image_{len(refs):02d}>", find_file(path, field, origin)))
            text += refs[-1].mark + part
        changed.append(replace(message, content=text) if rest else message)
    return tuple(changed), tuple(refs)
