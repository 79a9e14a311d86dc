"""Pictures that are shown to a model in a conversation: whatever they are given as, and the marks that stand for them."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from ..data.images import open_picture
from ..data.slicing import Size
from ..errors import PictureError, UserError

_AS_PNG = {mode: mode for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")}
_AS_PNG |= dict.fromkeys(("CMYK", "YCbCr", "HSV", "RGBX"), "RGB") | dict.fromkeys(("PA", "La", "RGBa"), "RGBA")
"""The modes of PIL images, and what they are written as."""


class Attached(NamedTuple):
    """A picture that was opened: its absolute path or a `data:` address with all of it, and (width, height)."""

    path: str
    size: Size


def attach(picture: Any) -> Attached:
    """Open a picture, to see that it is one, and return it as conversations keep it.

    `picture` is a path, a base64 `data:` address, the bytes of a file, or a PIL image. A PIL image is taken as its
    pixels stand: what a camera wrote about its orientation counts in files only.

    Raises:
        PictureError: with the reason and the mend.
        UserError: it is something else.
    """
    if isinstance(picture, (bytes, bytearray, memoryview)):
        source = address(bytes(picture))
    elif isinstance(picture, (str, Path)):
        source = str(picture)
    elif hasattr(picture, "save") and hasattr(picture, "mode"):
        source = address(_png(picture))
    else:
        kind = type(picture).__name__
        raise UserError(f"A picture is a path, a data: address, bytes or a PIL image, but this is of type '{kind}'.")
    try:
        size = open_picture(source).size
    except PictureError as error:  # in a conversation there is no record that could be removed
        mend = error.mend.replace(", or remove the record", "")
        raise PictureError(error.picture, error.reason, mend) from None
    return Attached(source if source[:5].lower() == "data:" else os.path.abspath(source), size)


def address(content: bytes) -> str:
    """Return the bytes of a picture's file as a `data:` address."""
    return f"data:image;base64,{base64.b64encode(content).decode('ascii')}"


def marks(texts: Iterable[str]) -> Iterator[str]:
    """Yield what can stand for pictures, `<image_00>` and so on, without what occurs in the texts."""
    said = "\n".join(texts)
    return (mark for number in count() if (mark := f"<image_{number:02d}>") not in said)


def _png(image: Any) -> bytes:
    """Return a PIL image as the bytes of a PNG."""
    if image.mode not in _AS_PNG:
        raise PictureError("PIL image", f"has pixels of the kind '{image.mode}'.", 'Convert it: image.convert("RGB").')
    stream = io.BytesIO()
    try:
        plain = image if _AS_PNG[image.mode] == image.mode else image.convert(_AS_PNG[image.mode])
        plain.save(stream, format="PNG", compress_level=1, exif=b"")
    except Exception as error:  # noqa: BLE001 - Pillow raises anything for a file that it reads only now
        raise PictureError("PIL image", f"cannot be read ({error}).", "Open its file again.") from None
    return stream.getvalue()
