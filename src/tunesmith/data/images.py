"""Pictures: opened safely from files, turned into RGB, and cut into what the vision tower sees.

What becomes of the different kinds of pictures (`open_picture`):

- The orientation that a camera wrote (EXIF, or XMP) is applied. A PNG's counts if it stands before the pixels. An
  orientation that cannot be read counts as none.
- Transparency, in whatever form, is laid over white.
- Greyscale with 16 bits a pixel is scaled to 8 bits, rounded to nearest; colours with 16 bits keep their upper 8.
  Pixels that are 32-bit numbers have no known range and are refused.
- CMYK and other colour models become RGB by Pillow's plain formula; colour profiles are not applied, as in the
  published code, which uses `convert("RGB")` for all.
- Of an animation or of several pages the first is taken.

Pillow's warnings are about the same files that are refused or read here, and are not passed on.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, features

from ..errors import PictureError
from .slicing import Size, Slicing

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "PPM", "WEBP", "TIFF")
"""What is opened, by Pillow's names (and AVIF, where Pillow can). Nothing that would run another program (EPS)."""

Fetch = Callable[[str], bytes]
"""What gets the bytes behind an http or https address."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_CONVERT = "Convert it to PNG or JPEG."
_SMALLER = "Make it smaller: the model sees about 2 million of them."
_AGAIN = "Get the file again, or remove the record."
_FOREIGN = (
    (rb"version https://git-lfs", "is a pointer of Git LFS, not the picture itself.", "Fetch it with 'git lfs pull'."),
    (rb"\s*<(!doctype html|html)", "is a web page, not a picture.", "Save the picture itself."),
    (rb"\s*(<\?xml[^>]*>\s*)?<svg", "is an SVG drawing, which has no pixels.", _CONVERT),
    (rb"....ftyp(hei|hev|mif1|msf1)", "is a HEIC photograph, which is not read.", _CONVERT),
    (rb"%PDF", "is a PDF document, not a picture.", "Save its pages as pictures."),
)
"""What is often found under a picture's name: first bytes, reason, mend."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a picture may be at most; checked before its pixels are decoded.

    `pixels`: width times height. `bytes`: of the file. `ratio`: the longer side divided by the shorter; beyond about
    1000 the tower would get more patches than from any other picture.
    """

    pixels: int = 64_000_000
    bytes: int = 256 * 2**20
    ratio: int = 1000


LIMITS = Limits()


def open_picture(source: str | Path, limits: Limits = LIMITS, fetch: Fetch | None = None) -> Image.Image:
    """Return a picture as RGB, upright; `source` is a path or a base64 `data:` address.

    http and https addresses are refused unless `fetch` is given, which then gets the bytes; its errors pass through.

    Raises:
        PictureError: with the reason and the mend.
    """
    with _opened(source, limits, fetch) as image:
        tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
        expected, orientation = _upright_size(image), _orientation(image)
        image.load()
        if tiff:  # Pillow turns these itself while it loads them
            orientation = _orientation(image)
        picture = _rgb(image, _shown(source))
        if orientation in _TURNS:
            picture = picture.transpose(_TURNS[orientation])
        if picture.size != expected:
            raise ValueError(f"its header says {expected[0]} x {expected[1]} pixels, but it has {picture.size}")
        return picture


def picture_size(source: str | Path, limits: Limits = LIMITS, fetch: Fetch | None = None) -> Size:
    """Return the width and height that `open_picture` would give, from the header alone.

    Raises:
        PictureError: it is no picture, or one beyond the limits. Damage behind the header is not seen.
    """
    with _opened(source, limits, fetch) as image:
        return _upright_size(image)


def slices(picture: Image.Image, slicing: Slicing) -> list[NDArray[np.uint8]]:
    """Return the overview and the slices of an RGB picture, each (h, w, 3), in the order of their slots.

    The same bytes as the published code with Pillow 10.1 to 12.3, on any version of Pillow.
    """
    if picture.mode != "RGB":
        raise ValueError(f"the picture is {picture.mode}, not RGB; open it with open_picture")
    plan = slicing.plan(*picture.size)
    found = [np.array(_resize(picture, plan.overview))]
    if plan.grid and plan.slice:
        (columns, rows), (width, height) = plan.grid, plan.slice
        whole = np.array(_resize(picture, (columns * width, rows * height)))
        for top in range(0, rows * height, height):
            for left in range(0, columns * width, width):
                found.append(np.ascontiguousarray(whole[top : top + height, left : left + width]))
    return found


def normalise(image_HWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return pixels as the vision tower gets them: (3, h, w), from -1 to 1."""
    scaled_HWC = image_HWC.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((scaled_HWC - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1))


def _resize(picture: Image.Image, size: Size) -> Image.Image:
    """Resize in two calls, width first: in one call Pillow 13 may take the height first, with other results."""
    bicubic = Image.Resampling.BICUBIC
    return picture.resize((size[0], picture.height), bicubic).resize(size, bicubic)


@contextmanager
def _opened(source: str | Path, limits: Limits, fetch: Fetch | None) -> Iterator[Image.Image]:
    """Give Pillow's image with its header read and checked; whatever goes wrong with it becomes a PictureError."""
    shown = _shown(source)
    with warnings.catch_warnings(), _stream(source, shown, limits, fetch) as stream:
        warnings.simplefilter("ignore")
        try:
            with Image.open(stream, formats=_formats()) as image:
                _check(image.size, shown, limits)
                yield image
        except PictureError:
            raise
        except UnidentifiedImageError:
            raise _not_a_picture(stream, shown) from None
        except Image.DecompressionBombError:
            reason = "has more pixels than Pillow itself allows."
            raise PictureError(shown, reason, _SMALLER) from None
        except Exception as error:  # noqa: BLE001 - Pillow raises anything for a damaged file
            reason = str(error).strip().rstrip(".") or type(error).__name__
            raise PictureError(shown, f"is damaged ({reason}).", _AGAIN) from None


def _stream(source: str | Path, shown: str, limits: Limits, fetch: Fetch | None) -> BinaryIO:
    """Return the bytes of a picture as a stream, if they are not too many."""
    text = str(source)
    if text[:5].lower() == "data:":
        content = _decoded(text, shown, limits)
    elif scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", text):
        if fetch is None or scheme[1].lower() not in ("http", "https"):
            mend = "Save the picture as a file, and write its path."
            raise PictureError(shown, "is an address; pictures are read from files.", mend)
        content = fetch(text)
    else:
        return _file(text, shown, limits)
    _check_bytes(len(content), shown, limits)
    return io.BytesIO(content)


def _file(path: str, shown: str, limits: Limits) -> BinaryIO:
    mend = "Mend the path, or remove the record."
    try:
        if os.path.isdir(path):
            raise PictureError(shown, "is a folder.", mend)
        if not os.path.exists(path):
            raise PictureError(shown, "does not exist.", mend)
        if not os.path.isfile(path):
            raise PictureError(shown, "is not an ordinary file.", mend)
        _check_bytes(os.path.getsize(path), shown, limits)
        return Path(path).open("rb")
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PictureError(shown, f"cannot be opened: {reason}.", mend) from None


def _decoded(text: str, shown: str, limits: Limits) -> bytes:
    """Return the bytes in a `data:` address (RFC 2397), which must be base64."""
    mend = "Write data:image/png;base64,... or the path of a file."
    head, comma, payload = text.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise PictureError(shown, "is a data address without ';base64,'.", mend)
    if len(payload) // 4 * 3 > 2 * limits.bytes:  # before anything is copied; the exact check comes behind
        _check_bytes(len(payload) // 4 * 3, shown, limits)
    payload = "".join((unquote(payload) if "%" in payload else payload).split())
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError(shown, f"is a data address with broken base64 text ({error}).", mend) from None


def _check_bytes(size: int, shown: str, limits: Limits) -> None:
    if size == 0:
        raise PictureError(shown, "is empty (0 bytes).", _AGAIN)
    if size > limits.bytes:
        reason = f"has {size / 2**20:,.0f} MiB; at most {limits.bytes / 2**20:,.0f} MiB are read."
        raise PictureError(shown, reason, "Make it smaller, or save it as JPEG.")


def _check(size: Size, shown: str, limits: Limits) -> None:
    width, height = size
    has = f"has {width:,} x {height:,} pixels"
    if width < 1 or height < 1:
        raise PictureError(shown, f"{has}.", _AGAIN)
    if width * height > limits.pixels:
        reason = f"{has}; at most {limits.pixels / 1e6:g} million are read."
        raise PictureError(shown, reason, _SMALLER)
    if max(size) > limits.ratio * min(size):
        reason = f"{has}: one side is more than {limits.ratio:,} times as long as the other."
        raise PictureError(shown, reason, "Cut it into parts, or remove the record.")


def _not_a_picture(stream: BinaryIO, shown: str) -> PictureError:
    stream.seek(0)
    head = stream.read(256)
    for pattern, reason, mend in _FOREIGN:
        if re.match(pattern, head, re.IGNORECASE | re.DOTALL):
            return PictureError(shown, reason, mend)
    return PictureError(shown, "is not a picture, or of a kind that is not read.", _CONVERT)


def _formats() -> tuple[str, ...]:
    return (*FORMATS, "AVIF") if features.check("avif") else FORMATS


def _shown(source: str | Path) -> str:
    text = str(source)
    if text[:5].lower() == "data:":
        return text if len(text) <= 40 else f"{text[:37]}..."
    return text if len(text) <= 300 else f"{text[:297]}..."


def _orientation(image: Image.Image) -> int:
    """Return 1 to 8 as EXIF counts them: how the picture must be turned to stand upright."""
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1  # asking for it would decode the whole picture, to see whether it stands behind the pixels
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow raises anything for damaged EXIF, which is no reason to lose the picture
        return 1
    return value if value in _TURNS else 1


def _upright_size(image: Image.Image) -> Size:
    """Return the size behind the turn, before the image is loaded."""
    width, height = image.size
    if isinstance(image, TiffImagePlugin.TiffImageFile):  # some versions of Pillow have turned the size already
        width, height = (int(image.tag_v2[tag]) for tag in (TiffImagePlugin.IMAGEWIDTH, TiffImagePlugin.IMAGELENGTH))
    return (height, width) if _orientation(image) >= 5 else (width, height)


def _rgb(image: Image.Image, shown: str) -> Image.Image:
    """Return a loaded image as RGB."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        grey_HW = np.asarray(image).astype(np.int64)
        return Image.fromarray(((grey_HW * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        reason = "has pixels that are 32-bit numbers, whose range is not known."
        raise PictureError(shown, reason, "Save it with 8 or 16 bits a pixel.")
    if image.mode == "LAB":
        raise PictureError(shown, "has colours (LAB) that are not read.", _CONVERT)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
