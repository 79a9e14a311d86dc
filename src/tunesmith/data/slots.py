"""Where pictures stand in a row of ids, and how large their files say that they are.

A picture is `<image>` slots `</image>`, and where it is sliced `<slice>`, more of the same, `</slice>` (`slicing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import DataError, ModelError
from .slicing import END, START, Size
from .tokenizer import TextTokenizer


def bounds(input_ids: Sequence[int], tokenizer: TextTokenizer) -> list[tuple[int, int]]:
    """Return the stretches of slots: from behind each `<image>` up to its `</image>`; the k-th gets the k-th image.

    Source: `image_bound` of the published code.

    Raises:
        DataError: an `<image>` without its `</image>`, or the other way round.
    """
    start, end = _id(tokenizer, START), _id(tokenizer, END)
    found: list[tuple[int, int]] = []
    opened: int | None = None
    for position, token in enumerate(input_ids):
        if token not in (start, end):
            continue
        if (token == start) != (opened is None):
            raise DataError(f"the row holds {START} and {END} that do not belong together, at token {position}.")
        if opened is None:
            opened = position + 1
        else:
            found.append((opened, position))
            opened = None
    if opened is not None:
        raise DataError(f"the row ends inside a picture that begins at token {opened - 1}.")
    return found


def size_of_file(path: str) -> Size:
    """Return width and height of a picture; only who has pictures pays for what reads them.

    Raises:
        PictureError: as `images.picture_size`.
    """
    from .images import picture_size

    return picture_size(path)


def _id(tokenizer: TextTokenizer, token: str) -> int:
    if (number := tokenizer.id(token)) is None:
        raise ModelError(f"{tokenizer.source} has no token '{token}', so it is no tokenizer of a model that sees.")
    return number
