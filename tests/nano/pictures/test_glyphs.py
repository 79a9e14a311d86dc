"""The dots of letters and digits: each fits its raster and touches its borders, and no two look the same."""

from __future__ import annotations

from tunesmith.nano.pictures.glyphs import COLUMNS, DIGITS, LETTERS, ROWS, dots


def test_each_glyph_fills_its_raster_and_is_unlike_the_others() -> None:
    drawn = {glyph: dots(glyph) for glyph in LETTERS + DIGITS}
    assert len(drawn) == 30
    for points in drawn.values():
        assert {row for _, row in points} == set(range(ROWS))
        assert {column for column, _ in points} <= set(range(COLUMNS))
    assert len({tuple(points) for points in drawn.values()}) == len(drawn)
