"""The picture has a bar for each figure, and none for what failed."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from tunesmith.bench.figures import Case, Failure, Measured, figures
from tunesmith.bench.lineup import OWN, SIDES
from tunesmith.bench.plot import OWN_COLOUR, draw
from tunesmith.bench.report import Compared

from .conftest import measured


def drawn(path: Path, case: Case, **changed: list[Measured | Failure]) -> int:
    """Return how many pixels have tunesmith's colour."""
    results: dict[str, list[Measured | Failure]] = {side.name: [measured(case, 1.0)] for side in SIDES}
    results |= changed
    draw(path, [Compared(case, results, figures(case, SIDES, results))] * 2)
    colour = tuple(bytes.fromhex(OWN_COLOUR[1:]))
    with Image.open(path) as picture:
        return sum(pixel == colour for pixel in picture.convert("RGB").get_flattened_data())


def test_a_faster_side_has_a_larger_bar(case: Case, tmp_path: Path) -> None:
    half = drawn(tmp_path / "half.png", case, **{OWN: [measured(case, 2.0)]})
    same = drawn(tmp_path / "same.png", case)
    failed = drawn(tmp_path / "failed.png", case, **{OWN: [Failure("no")]})
    assert failed < half < same


def test_as_svg(case: Case, tmp_path: Path) -> None:
    results = {side.name: [measured(case, 1.0)] for side in SIDES}
    draw(tmp_path / "plot.svg", [Compared(case, results, figures(case, SIDES, results))])
    assert "<svg" in (tmp_path / "plot.svg").read_text()
