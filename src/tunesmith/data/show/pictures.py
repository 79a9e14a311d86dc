"""The pictures of a row as the vision tower gets them: the overview, and the slices in their grid."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from ...errors import PictureError
from ..slicing import Slicing
from ..types import Example
from . import visible
from .words import say

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

THUMBNAIL = 240
"""Pixels of the longer side of what is drawn."""


def figures(example: Example, slicing: Slicing) -> Iterator[str]:
    """Yield an HTML figure for each picture of a row; one that cannot be opened says why."""
    from PIL import Image

    from ..images import open_picture, slices

    for number, picture in enumerate(example.pictures):
        name = f'{say("picture", number)} <span class="quiet">{escape(visible.one_line(picture.path))}</span>'
        try:
            opened = open_picture(picture.path)
            cut = [Image.fromarray(one) for one in slices(opened, slicing)]
        except PictureError as error:
            yield f'<p class="fault">{name}: {escape(error.reason)} {escape(error.mend)}</p>\n'
            continue
        plan = slicing.plan(*opened.size)
        columns, lines = plan.grid or (0, 0)
        facts = say("picture_facts", *opened.size, len(cut), plan.slots, plan.tokens)
        drawn = [f'<img src="{_thumbnail(one)}" alt="" width="{_width(one)}">' for one in cut]
        grid = f'<div class="grid c{columns}">{"".join(drawn[1:])}</div>' if lines else ""
        yield (
            f'<figure class="picture"><figcaption>{name}<br><span class="quiet">{facts}</span></figcaption>'
            f'<div class="sliced">{drawn[0]}{grid}</div></figure>\n'
        )


def _width(image: Picture) -> int:
    width, height = image.size
    return max(1, round(width * min(1.0, THUMBNAIL / max(width, height))))


def _thumbnail(image: Picture) -> str:
    """Return a picture, made small, as a `data:` address."""
    small = image.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    stream = io.BytesIO()
    small.save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
