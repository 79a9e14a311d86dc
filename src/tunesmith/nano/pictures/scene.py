"""What a drawn picture shows: a Scene, composed as a function of a random generator alone."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from .glyphs import COLUMNS, DIGITS, LETTERS, ROWS
from .words import BACKGROUNDS, COLOURS, PLACES, SHAPES

Kind = Literal["one", "many", "two", "glyph"]
UNIT = 70
"""Pixels of the shorter side of an ordinary picture."""
FORMS = {(1, 1): 0.8, (2, 1): 0.08, (1, 2): 0.08, (2, 2): 0.04}
"""Widths and heights of pictures in units, and their shares. All but the first are cut into slices."""
KINDS: dict[Kind, float] = {"one": 0.28, "many": 0.17, "two": 0.21, "glyph": 0.34}


@dataclass(frozen=True)
class Thing:
    """A shape, letter or digit of a picture.

    `shape`: a shape, "letter" or "digit"; `glyph` is then which one. `place`: where it is, empty for one of many.
    `box`: left, top, right, bottom in pixels.
    """

    shape: str
    colour: str
    place: str
    box: tuple[int, int, int, int]
    glyph: str = ""


@dataclass(frozen=True)
class Scene:
    """What a picture shows: one thing, several alike, two that differ, or a letter or digit."""

    kind: Kind
    size: tuple[int, int]
    background: str
    things: tuple[Thing, ...]


def is_held_out(colour: str, shape: str) -> bool:
    """Tell whether this colour and shape are kept for evaluation: never together in a picture to learn from."""
    return (list(COLOURS).index(colour) + list(SHAPES).index(shape)) % len(COLOURS) == 5


def compose(rng: Random, held: bool = False, kind: Kind | None = None) -> Scene:
    """Return a scene; `held`: with a colour and shape that are held out, instead of with none."""
    kinds = [name for name in KINDS if not (held and name == "glyph")]
    if kind is None:
        kind = rng.choices(kinds, [KINDS[name] for name in kinds])[0]
    columns, rows = rng.choices(list(FORMS), list(FORMS.values()))[0]
    size, background = (columns * UNIT, rows * UNIT), rng.choice(list(BACKGROUNDS))
    make = {"one": _one, "many": _many, "two": _two, "glyph": _glyph}[kind]
    return Scene(kind, size, background, make(rng, size, held))


def pairs(held: bool) -> list[tuple[str, str]]:
    """Return the (colour, shape) pairs that are held out, or those that are not."""
    return [(colour, shape) for colour in COLOURS for shape in SHAPES if is_held_out(colour, shape) == held]


def _one(rng: Random, size: tuple[int, int], held: bool) -> tuple[Thing, ...]:
    colour, shape = rng.choice(pairs(held))
    place, side = rng.choice(list(PLACES)), round(rng.uniform(0.3, 0.46) * min(size))
    return (Thing(shape, colour, place, _boxed(rng, size, place, (side, side))),)


def _glyph(rng: Random, size: tuple[int, int], held: bool) -> tuple[Thing, ...]:
    shape = "letter" if rng.random() < 2 / 3 else "digit"
    place, dot = rng.choice(list(PLACES)), round(rng.choice((4, 5)) * min(size) / UNIT)
    box = _boxed(rng, size, place, (COLUMNS * dot, ROWS * dot))
    glyph = rng.choice(LETTERS if shape == "letter" else DIGITS)
    return (Thing(shape, rng.choice(list(COLOURS)), place, box, glyph),)


def _many(rng: Random, size: tuple[int, int], held: bool) -> tuple[Thing, ...]:
    """Return two to five things alike, in different cells of a raster."""
    colour, shape = rng.choice(pairs(held))
    cell = min(size) // 3
    cells = [(x, y) for y in range(size[1] // cell) for x in range(size[0] // cell)]
    side = round(rng.uniform(0.74, 0.88) * cell)
    things = []
    for x, y in sorted(rng.sample(cells, rng.randint(2, 5))):
        left, top = (at * cell + rng.randint(0, cell - side) for at in (x, y))
        things.append(Thing(shape, colour, "", (left, top, left + side, top + side)))
    return tuple(things)


def _two(rng: Random, size: tuple[int, int], held: bool) -> tuple[Thing, ...]:
    """Return two things of different shape and colour, side by side or one above the other."""
    first = rng.choice(pairs(held))
    others = [pair for pair in pairs(False) if pair[0] != first[0] and pair[1] != first[1]]
    both = [first, rng.choice(others)]
    rng.shuffle(both)
    width, height = size
    beside = width > height if width != height else rng.random() < 0.5
    things = []
    for (colour, shape), place in zip(both, ("left", "right") if beside else ("top", "bottom"), strict=True):
        side = round(rng.uniform(0.3, 0.42) * min(size))
        things.append(Thing(shape, colour, place, _boxed(rng, size, place, (side, side))))
    return tuple(things)


def _boxed(rng: Random, size: tuple[int, int], place: str, extent: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a box of this extent at a place: in the middle of one direction, near a border in the other."""
    near = {"left": (0, 0), "right": (0, 1), "top": (1, 0), "bottom": (1, 1)}
    corner = []
    for axis in (0, 1):
        free = size[axis] - extent[axis]
        low, high = 0.4, 0.6
        if place in near and near[place][0] == axis:
            low, high = ((0.02, 0.16), (0.84, 0.98))[near[place][1]]
        corner.append(round(rng.uniform(low, high) * free))
    left, top = corner
    return left, top, left + extent[0], top + extent[1]
