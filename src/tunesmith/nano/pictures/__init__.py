"""Pictures that the project draws itself, and questions about them: what the nano MiniCPM-V learns from."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from .painting import paint
from .scene import Scene, compose

if TYPE_CHECKING:
    from PIL.Image import Image


def draw(seed: int | str, held: bool = False) -> tuple[Scene, Image]:
    """Return a scene and its picture, both a function of the seed alone.

    `held`: with a colour and shape that never stand together in a picture to learn from (`scene.is_held_out`).
    """
    rng = Random(f"{seed} picture")
    scene = compose(rng, held)
    return scene, paint(scene, rng)
