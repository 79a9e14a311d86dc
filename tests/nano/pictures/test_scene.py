"""Scenes: things are inside the picture, where they are said to be, apart from each other, and held out as promised."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from random import Random

import pytest

from tunesmith.nano.pictures.scene import FORMS, KINDS, UNIT, Scene, compose, is_held_out, pairs
from tunesmith.nano.pictures.words import COLOURS, SHAPES


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Many scenes."""
    return [compose(Random(seed)) for seed in range(2000)]


def test_a_scene_is_a_function_of_its_generator(scenes: list[Scene]) -> None:
    assert [compose(Random(seed)) for seed in range(50)] == scenes[:50]
    assert set(Counter(scene.kind for scene in scenes)) == set(KINDS)
    assert {scene.size for scene in scenes} == {(columns * UNIT, rows * UNIT) for columns, rows in FORMS}
    assert {len(scene.things) for scene in scenes} == {1, 2, 3, 4, 5}


def test_things_are_inside_and_do_not_touch(scenes: list[Scene]) -> None:
    for scene in scenes:
        for thing in scene.things:
            left, top, right, bottom = thing.box
            assert 0 <= left < right <= scene.size[0] and 0 <= top < bottom <= scene.size[1]
        for one, two in combinations([thing.box for thing in scene.things], 2):
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1], scene


def test_places_are_true(scenes: list[Scene]) -> None:
    for scene in scenes:
        for thing in scene.things:
            x = (thing.box[0] + thing.box[2]) / 2 / scene.size[0]
            y = (thing.box[1] + thing.box[3]) / 2 / scene.size[1]
            low, high = 0.4, 0.6
            true = {
                "left": x < low < y < high,
                "right": x > high > y > low,
                "top": y < low < x < high,
                "bottom": y > high > x > low,
                "centre": low < x < high and low < y < high,
                "": scene.kind == "many",
            }
            assert true[thing.place], (scene, thing)


def test_two_things_differ_in_shape_and_colour(scenes: list[Scene]) -> None:
    for scene in scenes:
        if scene.kind == "two":
            one, two = scene.things
            assert one.shape != two.shape and one.colour != two.colour
        elif scene.kind == "many":
            assert len({(thing.shape, thing.colour) for thing in scene.things}) == 1


def test_held_out_pairs_are_never_learned_and_always_in_a_held_out_scene(scenes: list[Scene]) -> None:
    held = pairs(True)
    assert len(held) == 6 and len(pairs(False)) == 42
    assert {shape for _, shape in held} == set(SHAPES) and len({colour for colour, _ in held}) == 6
    assert all(colour in COLOURS for colour, _ in held)

    def number(scene: Scene) -> int:
        return sum(not thing.glyph and is_held_out(thing.colour, thing.shape) for thing in scene.things)

    assert not any(map(number, scenes))
    assert all(number(compose(Random(seed), held=True)) >= 1 for seed in range(300))
