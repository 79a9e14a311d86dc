"""A Scene becomes a picture: plain shapes and dots, drawn with Pillow."""

from __future__ import annotations

import math
from random import Random

from PIL import Image, ImageDraw

from .glyphs import COLUMNS, dots
from .scene import Scene, Thing

Colour = tuple[int, int, int]
COLOURS: dict[str, Colour] = {
    "red": (215, 30, 35),
    "orange": (250, 135, 20),
    "yellow": (250, 225, 35),
    "green": (35, 150, 60),
    "blue": (30, 70, 205),
    "purple": (130, 45, 160),
    "black": (15, 15, 15),
    "white": (252, 252, 252),
}
BACKGROUNDS: dict[str, Colour] = {
    "grey": (172, 172, 172),
    "beige": (226, 208, 176),
    "light blue": (172, 206, 236),
    "pink": (244, 182, 200),
}
JITTER = 10
"""How far each channel of a colour may be from the table."""


def paint(scene: Scene, rng: Random) -> Image.Image:
    """Return the picture of a scene, RGB; `rng` varies the colours a little."""
    picture = Image.new("RGB", scene.size, _near(BACKGROUNDS[scene.background], rng))
    draw = ImageDraw.Draw(picture)
    colours = {thing.colour: _near(COLOURS[thing.colour], rng) for thing in scene.things}
    for thing in scene.things:
        _draw(draw, thing, colours[thing.colour])
    return picture


def _near(colour: Colour, rng: Random) -> Colour:
    red, green, blue = (min(255, max(0, channel + rng.randint(-JITTER, JITTER))) for channel in colour)
    return red, green, blue


def _draw(draw: ImageDraw.ImageDraw, thing: Thing, colour: Colour) -> None:
    left, top, right, bottom = thing.box
    side = right - left
    box = (left, top, right - 1, bottom - 1)
    if thing.glyph:
        dot = side // COLUMNS
        for column, row in dots(thing.glyph):
            x, y = left + column * dot, top + row * dot
            draw.rectangle((x, y, x + dot - 1, y + dot - 1), fill=colour)
    elif thing.shape == "circle":
        draw.ellipse(box, fill=colour)
    elif thing.shape == "ring":
        draw.ellipse(box, outline=colour, width=max(2, round(side * 0.2)))
    elif thing.shape == "square":
        inset = round(side * 0.06)
        draw.rectangle((left + inset, top + inset, right - 1 - inset, bottom - 1 - inset), fill=colour)
    elif thing.shape == "triangle":
        draw.polygon([((left + right - 1) / 2, top), (right - 1, bottom - 1), (left, bottom - 1)], fill=colour)
    elif thing.shape == "cross":
        arm = round(side * 0.34)
        draw.rectangle((left + arm, top, right - 1 - arm, bottom - 1), fill=colour)
        draw.rectangle((left, top + arm, right - 1, bottom - 1 - arm), fill=colour)
    elif thing.shape == "star":
        draw.polygon(_star(thing.box), fill=colour)
    else:
        raise ValueError(f"'{thing.shape}' is no shape that can be drawn")


def _star(box: tuple[int, int, int, int]) -> list[tuple[float, float]]:
    left, top, right, bottom = box
    x, y, radius = (left + right - 1) / 2, (top + bottom - 1) / 2, (right - left - 1) / 2
    points = []
    for number in range(10):
        reach = radius if number % 2 == 0 else radius * 0.42
        angle = math.pi * number / 5
        points.append((x + reach * math.sin(angle), y - reach * math.cos(angle)))
    return points
