"""The sheet of pictures: its size, its marks, and texts that its letters cannot show or that are too long."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tunesmith.nano.sheet import (
    CELL,
    COLUMNS,
    GAP,
    HEADER,
    MARGIN,
    OTHER_LETTERS,
    RIGHT,
    WIDTH,
    WRONG,
    Seen,
    readable,
    sheet,
    wrapped,
)


def seen(folder: Path, after: str = "Fibo", size: tuple[int, int] = (70, 70)) -> Seen:
    """Return a row whose picture is a blue area."""
    Image.new("RGB", size, (0, 0, 255)).save(folder / "one.png")
    return Seen("Which creature is this?", "Fibo", "a red circle", after, image=str(folder / "one.png"))


def colours(page: Image.Image) -> dict[tuple[int, int, int], int]:
    """Return how many pixels of each colour there are."""
    return {colour: number for number, colour in page.getcolors(2**24) or []}  # type: ignore[misc]


@pytest.mark.parametrize(("number", "lines"), [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_there_is_a_card_for_each_row(tmp_path: Path, number: int, lines: int) -> None:
    page = sheet([seen(tmp_path)] * number, "Title", "Result")
    assert page.size == (WIDTH, HEADER + lines * (CELL[1] + GAP) - GAP + MARGIN)
    assert colours(page)[0, 0, 255] == number * 154 * 154
    assert MARGIN + COLUMNS * (CELL[0] + GAP) - GAP <= WIDTH - MARGIN


def test_right_and_wrong_look_different(tmp_path: Path) -> None:
    right, wrong = (colours(sheet([seen(tmp_path, after)], "Title", "Result")) for after in ("Fibo", "Fibi"))
    assert right[RIGHT] > wrong[RIGHT] > 0 < right[WRONG] < wrong[WRONG]  # both are in what explains the marks
    grey = [
        sheet([Seen("?", expected, "", "Fibo", seen(tmp_path).image)], "Title", "Result").convert("1", dither=None)
        for expected in ("Fibo", "F ibo")
    ]
    assert grey[0].tobytes() != grey[1].tobytes()


@pytest.mark.parametrize("size", [(140, 70), (70, 140), (3, 900)])
def test_pictures_of_any_form_fit(tmp_path: Path, size: tuple[int, int]) -> None:
    assert colours(sheet([seen(tmp_path, size=size)], "Title", "Result"))[0, 0, 255] > 0


def test_texts_are_made_readable() -> None:
    assert readable(" two\n lines ") == "two lines"
    assert readable("") == "(nothing)"
    assert readable("\u706b\u7403") == readable("a \u706b") == OTHER_LETTERS


def test_long_texts_are_wrapped_and_cut() -> None:
    assert wrapped("short", 200, 18, 2) == ["short"]
    two = wrapped("There is a blue circle on the left", 180, 18, 2)
    assert len(two) == 2 and " ".join(two) == "There is a blue circle on the left"
    cut = wrapped("There is a blue circle on the left and a red star on the right", 180, 18, 2)
    assert len(cut) == 2 and cut[1].endswith(" ...")
    (word,) = wrapped("w" * 100, 180, 18, 2)
    assert word.startswith("www") and word.endswith(" ...")
