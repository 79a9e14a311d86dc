"""Where pictures stand in a row of ids, how many tokens they take, and whether cutting the row would hurt one.

A picture is `<image>` slots `</image>`, and where it is sliced `<slice>`, more of the same, `</slice>` (`slicing.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..errors import DataError, ModelError
from .slicing import END, SLICES_END, SLICES_START, START, Size, Slicing
from .tokenizer import TextTokenizer
from .types import Conversation


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


def spans(input_ids: Sequence[int], tokenizer: TextTokenizer) -> list[tuple[int, int]]:
    """Return where whole pictures stand, marks and slices included, as (first token, token behind the last).

    Raises:
        DataError: the marks do not belong together.
    """
    opening, closing = _id(tokenizer, SLICES_START), _id(tokenizer, SLICES_END)
    found: list[tuple[int, int]] = []
    for first, last in bounds(input_ids, tokenizer):
        if found and first <= found[-1][1]:  # a slice of the picture before
            continue
        behind = last + 1
        if behind < len(input_ids) and input_ids[behind] == opening:
            end = next((at for at in range(behind, len(input_ids)) if input_ids[at] == closing), None)
            if end is None:
                raise DataError(f"the row ends inside a picture that begins at token {first - 1}.")
            behind = end + 1
        found.append((first - 1, behind))
    return found


def cut_picture(input_ids: Sequence[int], tokenizer: TextTokenizer, max_length: int) -> tuple[int, int] | None:
    """Return the first picture that a row cut to `max_length` tokens would not hold whole, as `spans` gives it.

    None where every picture stays. The cut goes through the picture where its first token is before `max_length`.
    """
    if len(input_ids) <= max_length:
        return None
    return next((span for span in spans(input_ids, tokenizer) if span[1] > max_length), None)


def picture_tokens(
    conversation: Conversation, slicing: Slicing, size: Callable[[str], Size] | None = None
) -> list[int]:
    """Return how many tokens each picture of a conversation takes, known from the headers of their files.

    Raises:
        PictureError: a file is no picture, or one beyond the limits.
    """
    size = size or size_of_file
    return [slicing.plan(*size(image.path)).tokens for image in conversation.images]


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
