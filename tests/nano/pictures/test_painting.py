"""The painted pixels: the things and the background have their colours, and letters their dots."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from tunesmith.nano.pictures import draw
from tunesmith.nano.pictures.glyphs import dots
from tunesmith.nano.pictures.painting import BACKGROUNDS, COLOURS, JITTER, paint
from tunesmith.nano.pictures.scene import Scene, Thing, compose
from tunesmith.nano.pictures.words import SHAPES


def is_near(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    far = np.abs(pixels.astype(int) - np.array(colour)).max(-1)
    return np.asarray(far <= JITTER)


def test_colours_are_those_of_the_scene() -> None:
    for seed in range(200):
        scene, picture = draw(seed)
        pixels = np.asarray(picture)
        assert picture.mode == "RGB" and picture.size == scene.size
        free = np.ones(pixels.shape[:2], dtype=bool)
        for thing in scene.things:
            left, top, right, bottom = thing.box
            own = is_near(pixels[top:bottom, left:right], COLOURS[thing.colour])
            assert 0.15 < own.mean() <= 1.0, (thing, own.mean())
            free[top:bottom, left:right] = False
        assert is_near(pixels[free], BACKGROUNDS[scene.background]).all()


def test_the_same_scene_and_generator_give_the_same_picture() -> None:
    scene = compose(Random(3))
    assert paint(scene, Random(1)).tobytes() == paint(scene, Random(1)).tobytes()


def test_shapes_look_different_and_a_letter_is_its_dots() -> None:
    box = (10, 10, 40, 40)
    painted = {
        shape: paint(Scene("one", (50, 50), "grey", (Thing(shape, "black", "centre", box),)), Random(0)).tobytes()
        for shape in SHAPES
    }
    assert len(set(painted.values())) == len(SHAPES)
    letter = Scene("glyph", (50, 50), "grey", (Thing("letter", "black", "centre", (10, 10, 30, 38), "K"),))
    pixels = np.asarray(paint(letter, Random(0)))
    assert is_near(pixels, COLOURS["black"]).sum() == 16 * len(dots("K"))
    unknown = Scene("one", (50, 50), "grey", (Thing("heart", "black", "centre", box),))
    with pytest.raises(ValueError, match="'heart' is no shape"):
        paint(unknown, Random(0))
