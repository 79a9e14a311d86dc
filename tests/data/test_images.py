"""Pictures: the published pixels, every kind turned into RGB rightly, and every broken one refused with its reason."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, features

from tunesmith.data.images import Limits, normalise, open_picture, picture_size, slices
from tunesmith.data.slicing import Slicing
from tunesmith.errors import PictureError

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2"
CASES = json.loads((GOLDEN / "preproc_448" / "case.json").read_text(encoding="utf-8"))["images"]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What a camera has done to an upright picture, by the orientation that it writes down (EXIF 2.32, 4.6.4)."""


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def corners(width: int = 40, height: int = 24) -> Image.Image:
    """A picture with another colour in each quarter, so that every turn of it can be told."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2], pixels[: height // 2, width // 2 :] = RED, GREEN
    pixels[height // 2 :, : width // 2], pixels[height // 2 :, width // 2 :] = BLUE, WHITE
    return Image.fromarray(pixels)


def save(image: Image.Image, path: Path, **options: Any) -> Path:
    image.save(path, **options)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that claims a size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def refused(path: str | Path, **options: Any) -> str:
    """The reason why a picture is not opened."""
    with pytest.raises(PictureError) as caught:
        open_picture(path, **options)
    assert caught.value.reason and caught.value.mend.endswith(".") and str(caught.value.picture)
    return caught.value.reason


# --- the published pixels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["image"])
def test_published_slices(case: dict) -> None:
    path = GOLDEN / "preproc_448" / case["image"]
    picture = open_picture(path)
    assert picture.size == picture_size(path) == tuple(case["original_size"])
    found = slices(picture, Slicing())
    assert len(found) == len(case["slices"])
    for pixels, expected in zip(found, case["slices"], strict=True):
        assert (pixels.shape[1], pixels.shape[0]) == tuple(expected["size_wh"])
        values = normalise(pixels)
        assert values.dtype == np.float32 and values.shape[0] == 3
        assert (sha256(pixels), sha256(values)) == (expected["uint8_rgb_sha256"], expected["float32_chw_sha256"])
        for channel, y, x, value in expected["samples_c_y_x_value"]:
            assert values[channel, y, x] == np.float32(value)


@pytest.mark.parametrize("case", ["chat_noslice", "chat_sliced"])
def test_published_pixels_of_the_small_models(case: str) -> None:
    slicing = Slicing.of(json.loads((GOLDEN / case / "config.json").read_text(encoding="utf-8")))
    for run in json.loads((GOLDEN / case / "case.json").read_text(encoding="utf-8"))["runs"]:
        if not run.get("image"):
            continue
        found = slices(open_picture(GOLDEN / "pictures" / run["image"]), slicing)
        assert [sha256(normalise(pixels)) for pixels in found] == run["pixel_values_sha256"], run["run"]
        assert [sha256(pixels) for pixels in found] == run["slice_uint8_sha256"], run["run"]


def test_slices_want_rgb() -> None:
    with pytest.raises(ValueError, match="not RGB"):
        slices(Image.new("L", (20, 20)), Slicing())


# --- kinds of pictures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_the_orientation_of_the_camera(kind: str, orientation: int, tmp_path: Path) -> None:
    """All eight are undone: every file shows the same picture as the one without a turn."""
    upright = corners()
    stored = upright.transpose(STORED[orientation]) if orientation in STORED else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"jpeg": {"quality": 95, "subsampling": 0}, "webp": {"lossless": True}}.get(kind, {})
    path = save(stored, tmp_path / f"a.{kind}", exif=exif, **options)
    picture = open_picture(path)
    assert picture.size == picture_size(path) == (40, 24)
    with Image.open(path) as plain:
        assert picture.tobytes() == ImageOps.exif_transpose(plain).convert("RGB").tobytes()
    assert np.abs(np.asarray(picture).astype(int) - np.asarray(upright)).max() <= (8 if kind == "jpeg" else 0)


def test_damaged_exif_is_no_reason_to_lose_a_picture(tmp_path: Path) -> None:
    for exif in (
        b"Exif\0\0rubbish",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02",
    ):
        path = save(corners(), tmp_path / "a.jpg", exif=exif)
        assert open_picture(path).size == picture_size(path) == (40, 24)
    exif = Image.Exif()
    exif[0x0112] = 42
    assert open_picture(save(corners(), tmp_path / "b.jpg", exif=exif)).size == (40, 24)


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    half.putpixel((0, 0), (*RED, 255))
    half.putpixel((1, 0), (0, 0, 0, 128))
    for name in ("a.png", "a.webp", "a.tiff"):
        options = {"lossless": True} if name.endswith("webp") else {}
        picture = open_picture(save(half, tmp_path / name, **options))
        assert picture.mode == "RGB"
        assert [picture.getpixel((x, 0)) for x in range(3)] == [RED, (127, 127, 127), WHITE], name
    grey = save(Image.merge("LA", (Image.new("L", (2, 1)), Image.new("L", (2, 1), 0))), tmp_path / "la.png")
    assert open_picture(grey).getpixel((0, 0)) == WHITE
    palette = Image.new("P", (3, 1))
    palette.putpalette([*RED, *GREEN, *BLUE])
    for x in range(3):
        palette.putpixel((x, 0), x)
    for name, transparency in (("p.png", 1), ("p.gif", 1), ("bytes.png", b"\xff\x00\xff")):
        picture = open_picture(save(palette, tmp_path / name, transparency=transparency))
        assert [picture.getpixel((x, 0)) for x in range(3)] == [RED, WHITE, BLUE], name
    key = save(Image.new("RGB", (2, 1), GREEN), tmp_path / "key.png", transparency=GREEN)
    assert open_picture(key).getpixel((0, 0)) == WHITE
    bits = save(Image.new("1", (2, 1), 0), tmp_path / "bits.png", transparency=0)
    assert open_picture(bits).getpixel((0, 0)) == WHITE


def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 256, 32768, 65278, 65535]], np.uint16)
    expected = [0, 0, 1, 1, 128, 254, 255]
    for name in ("a.png", "a.tiff"):
        picture = open_picture(save(Image.fromarray(values), tmp_path / name))
        assert picture.mode == "RGB"
        assert np.asarray(picture)[0].tolist() == [[value] * 3 for value in expected], name
    (tmp_path / "a.pgm").write_bytes(b"P5 7 1 65535\n" + values.astype(">u2").tobytes())
    assert np.asarray(open_picture(tmp_path / "a.pgm"))[0, :, 0].tolist() == expected
    rows = b"\0" + struct.pack(">6H", 0, 32768, 65535, 256, 511, 65280)
    (tmp_path / "rgb.png").write_bytes(png(2, 1, chunk(b"IDAT", zlib.compress(rows)), depth=16))
    assert np.asarray(open_picture(tmp_path / "rgb.png"))[0].tolist() == [[0, 128, 255], [1, 1, 255]]
    for mode in ("F", "I"):
        reason = refused(save(Image.new(mode, (2, 2), 7), tmp_path / f"{mode}.tiff"))
        assert reason == "has pixels that are 32-bit numbers, whose range is not known."


def test_other_colour_models(tmp_path: Path) -> None:
    for image in (Image.new("L", (3, 2), 77), Image.new("1", (3, 2), 1), corners().convert("P")):
        picture = open_picture(save(image, tmp_path / "a.png"))
        assert picture.mode == "RGB" and picture.tobytes() == image.convert("RGB").tobytes()
    for name in ("a.jpg", "a.tiff"):  # Adobe's JPEGs hold CMYK inverted
        options = {"quality": 95} if name.endswith("jpg") else {}
        picture = open_picture(save(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), tmp_path / name, **options))
        assert np.abs(np.asarray(picture).astype(int) - RED).max() <= 3, name
    assert refused(save(Image.new("LAB", (2, 2)), tmp_path / "lab.tiff")) == "has colours (LAB) that are not read."


def test_of_an_animation_the_first_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (6, 5), colour) for colour in (RED, GREEN, BLUE)]
    for name in ("a.gif", "a.png", "a.tiff", "a.webp"):
        options = {"lossless": True} if name.endswith("webp") else {}
        path = save(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert open_picture(path).getpixel((3, 3)) == RED and picture_size(path) == (6, 5)


def test_a_missing_avif_reader_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    assert open_picture(save(corners(), tmp_path / "a.png")).size == (40, 24)


# --- bad pictures ----------------------------------------------------------------------------------------------------


def test_files_that_are_not_there(tmp_path: Path) -> None:
    assert refused(tmp_path / "a.png") == "does not exist."
    assert refused(tmp_path) == "is a folder."
    assert refused("/dev/null") == "is not an ordinary file."
    assert "cannot be opened" in refused("a\0b.png") or refused("a\0b.png") == "does not exist."
    assert refused("x" * 5000) in ("does not exist.", "cannot be opened: File name too long.")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty (0 bytes)."),
        (b"just words", "is not a picture, or of a kind that is not read."),
        (bytes(5000), "is not a picture, or of a kind that is not read."),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "is a pointer of Git LFS"),
        (b"\n<!DOCTYPE HTML><html>404", "is a web page"),
        (b'<?xml version="1.0"?>\n<svg/>', "is an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is a HEIC photograph"),
        (b"%PDF-1.7", "is a PDF document"),
        (b"\x89PNG\r\n\x1a\n", "is not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "is not a picture"),
    ],
)
def test_files_that_are_no_pictures(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert refused(path).startswith(reason)
    with pytest.raises(PictureError):
        picture_size(path)


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "bmp", "tiff", "ppm"])
def test_truncated_files(kind: str, tmp_path: Path) -> None:
    """Cut anywhere, a file is refused or, where only its end is missing, read; nothing else is ever raised."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    content = save(Image.fromarray(noise), tmp_path / f"a.{kind}").read_bytes()
    path = tmp_path / f"b.{kind}"
    for size in (1, 5, 20, 60, len(content) // 4, len(content) // 2, len(content) * 3 // 4):
        path.write_bytes(content[:size])
        assert refused(path)
    for number in range(40):
        draw = np.random.default_rng(number)
        damaged = bytearray(content)
        for place in draw.integers(0, len(content), 5):
            damaged[place] = draw.integers(256)
        path.write_bytes(bytes(damaged))
        with contextlib.suppress(PictureError):
            assert open_picture(path).mode == "RGB"


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    for size, said in (((9000, 9000), "at most 64 million"), ((60000, 60000), "more pixels than Pillow")):
        path.write_bytes(png(*size, chunk(b"IDAT", zlib.compress(bytes(1000)))))
        assert said in refused(path)
        with pytest.raises(PictureError, match=said):
            picture_size(path)
    path.write_bytes(png(1, 5000, chunk(b"IDAT", b"")))
    assert "one side is more than 1,000 times as long" in refused(path)
    path.write_bytes(png(0, 5))
    assert refused(path)
    good = save(corners(), tmp_path / "good.png")
    assert "40 x 24 pixels; at most 0.0009 million" in refused(good, limits=Limits(pixels=900))
    assert "MiB" in refused(good, limits=Limits(bytes=20))
    assert open_picture(good, Limits(pixels=960)).size == (40, 24)


def test_the_size_needs_only_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(300, 200, chunk(b"IDAT", b"not compressed at all")))
    assert picture_size(path) == (300, 200)
    assert refused(path).startswith("is damaged (")


# --- addresses -------------------------------------------------------------------------------------------------------


def test_data_addresses() -> None:
    stream = io.BytesIO()
    corners().save(stream, "PNG")
    text = base64.b64encode(stream.getvalue()).decode()
    for address in (
        f"data:image/png;base64,{text}",
        f"DATA:;base64,{text}",
        f"data:image/png;name=a;base64,{text[:60]}\n {text[60:]}",
        f"data:image/png;base64,{text.replace('+', '%2B').replace('=', '%3D')}",
    ):
        assert open_picture(address).tobytes() == corners().tobytes() and picture_size(address) == (40, 24)
    for address, reason in (
        (f"data:image/png,{text}", "without ';base64,'"),
        ("data:image/png;base64", "without ';base64,'"),
        ("data:image/png;base64,", "is empty"),
        (f"data:image/png;base64,{text[:-3]}", "broken base64"),
        ("data:image/png;base64,!!!!", "broken base64"),
        ("data:image/png;base64,图片", "broken base64"),
        (f"data:image/png;base64,{text[: len(text) // 8 * 4]}", "is damaged ("),
        (f"data:image/png;base64,{base64.b64encode(b'hello').decode()}", "is not a picture"),
    ):
        assert reason in refused(address)
    with pytest.raises(PictureError) as caught:
        open_picture(f"data:image/png;base64,{text}", Limits(bytes=40))
    assert "MiB" in caught.value.reason and len(caught.value.picture) == 40


def test_web_addresses_are_refused_unless_asked_for(tmp_path: Path) -> None:
    content = save(corners(), tmp_path / "a.png").read_bytes()
    asked: list[str] = []

    def fetch(address: str) -> bytes:
        asked.append(address)
        return content

    for address in ("http://a.org/b.png", "HTTPS://a.org/b.png", "s3://bucket/a.png", "file:///a.png"):
        assert refused(address) == "is an address; pictures are read from files."
    assert open_picture("https://a.org/b.png", fetch=fetch).size == (40, 24)
    assert picture_size("http://a.org/b.png", fetch=fetch) == (40, 24)
    assert "is an address" in refused("file:///etc/passwd", fetch=fetch)
    assert "MiB" in refused("https://a.org/b.png", fetch=fetch, limits=Limits(bytes=9))
    assert asked == ["https://a.org/b.png", "http://a.org/b.png", "https://a.org/b.png"]
