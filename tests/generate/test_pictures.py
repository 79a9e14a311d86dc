"""Pictures in whatever form they are given, and marks that stand for nothing else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tunesmith.data.images import open_picture
from tunesmith.errors import PictureError, UserError
from tunesmith.generate.pictures import address, attach, marks

PICTURES = Path(__file__).parents[1] / "golden" / "minicpmv2" / "pictures"
CAT = PICTURES / "img_61x57_1.png"


def pixels(path: str) -> bytes:
    return open_picture(path).tobytes()


def test_a_path_is_kept_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(PICTURES)
    found = attach(CAT.name)
    assert found == (str(CAT), (61, 57)) == attach(CAT)
    monkeypatch.chdir(tmp_path)
    assert pixels(found.path) == Image.open(CAT).convert("RGB").tobytes()


@pytest.mark.parametrize(
    "form",
    [
        lambda: CAT.read_bytes(),
        lambda: memoryview(CAT.read_bytes()),
        lambda: address(CAT.read_bytes()),
        lambda: Image.open(CAT),
        lambda: Image.open(CAT).convert("RGB"),
    ],
    ids=["bytes", "memoryview", "data", "lazy", "RGB"],
)
def test_all_forms_give_the_same_pixels(form: Any) -> None:
    found = attach(form())
    assert found.path.startswith("data:")
    assert found.size == (61, 57)
    assert pixels(found.path) == pixels(str(CAT))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "HSV", "RGBX", "PA"])
def test_every_kind_of_pixels_is_taken(mode: str) -> None:
    base = Image.open(CAT).convert("L" if mode == "I;16" else "RGB")
    image = Image.new(mode, base.size) if mode in ("I;16", "PA") else base.convert(mode)
    found = open_picture(attach(image).path)
    assert (found.mode, found.size) == ("RGB", image.size)
    if mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV"):
        assert found.tobytes() == image.convert("RGB").tobytes()


def test_the_pixels_of_a_pil_image_are_not_turned() -> None:
    stream, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20), "red").save(stream, format="PNG", exif=exif)
    assert attach(stream.getvalue()).size == (20, 30)
    assert attach(Image.open(stream)).size == (30, 20)


@pytest.mark.parametrize(
    ("picture", "complaint"),
    [
        ("no where.png", r"the picture 'no where.png' does not exist\. Mend the path\.$"),
        (__file__, "is not a picture, or of a kind that is not read"),
        (b"", r"is empty \(0 bytes\)\. Get the file again\.$"),
        ("https://example.org/a.png", "is an address; pictures are read from files"),
        ("data:image/png;base64,***", "broken base64"),
        (CAT.read_bytes()[:700], "is damaged"),
        (Image.new("F", (3, 3)), r"pixels of the kind 'F'\. Convert it: image\.convert"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(picture: Any, complaint: str) -> None:
    with pytest.raises(PictureError, match=complaint):
        attach(picture)


def test_what_cannot_be_a_picture_at_all() -> None:
    with pytest.raises(UserError, match="is of type 'int'"):
        attach(3)
    with pytest.raises(PictureError, match=r"PIL image' cannot be read \(.*\)\. Open its file again\."):
        attach(Image.open(io.BytesIO(CAT.read_bytes()[:700])))


def test_marks_stand_in_no_text() -> None:
    found = marks(["<image_00> and <image", "_01>", "<image_02>"])
    assert [next(found) for _ in range(3)] == ["<image_01>", "<image_03>", "<image_04>"]
