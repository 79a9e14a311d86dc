"""A drawn picture is a function of its seed."""

from __future__ import annotations

from tunesmith.nano.pictures import draw


def test_the_same_seed_gives_the_same_picture_and_another_one_another() -> None:
    first, again, other = draw(5), draw(5), draw(6)
    assert first[0] == again[0] and first[1].tobytes() == again[1].tobytes()
    assert first[0] != other[0]
    assert draw(5, held=True)[0] != first[0]
