"""How MiniCPM-V 2.0 cuts a picture into an overview and a grid of slices, and the tokens that they take.

All of it follows from the picture's size alone; the pixels are cut in `images.py`. Source: `slice_image` and
`get_slice_image_placeholder` in the published modeling_minicpmv.py of MiniCPM-V-2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import ModelError

START, END, SLOT = "<image>", "</image>", "<unk>"
SLICES_START, SLICES_END = "<slice>", "</slice>"

Size = tuple[int, int]
"""Width, height."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a picture is cut, sizes as (width, height) in pixels.

    `overview`: the size of the whole picture as the model sees it. `grid`: columns and rows of slices, None where there
    are none; `slice` is then None too, otherwise the size of every slice. `queries`: slots of the overview, and of each
    slice.
    """

    overview: Size
    grid: tuple[int, int] | None
    slice: Size | None
    queries: int

    @property
    def count(self) -> int:
        """How many images the vision tower gets: the overview and the slices."""
        return 1 + (self.grid[0] * self.grid[1] if self.grid else 0)

    @property
    def sizes(self) -> list[Size]:
        """The sizes of the images in their order: overview first, then the slices row by row."""
        return [self.overview, *([self.slice] if self.slice else []) * (self.count - 1)]

    @property
    def slots(self) -> int:
        """Tokens that the model replaces by what it sees."""
        return self.queries * self.count

    @property
    def tokens(self) -> int:
        """Tokens of the picture's placeholder: the slots, two marks around each image, and what marks the grid."""
        return self.slots + 2 * self.count + (self.grid[1] + 1 if self.grid else 0)


@dataclass(frozen=True, slots=True)
class Slicing:
    """How pictures are cut; the names are those of the published config.json.

    `scale_resolution`: an image has about this number of pixels, squared. `patch_size`: sides are multiples of it.
    `max_slice_nums`: slices at most. `query_num`: slots of each image. `slice_mode` false: the picture is taken as it
    is, neither resized nor cut; sides that are no multiples of the patch are filled up inside the vision tower.
    """

    scale_resolution: int = 448
    patch_size: int = 14
    max_slice_nums: int = 9
    query_num: int = 64
    slice_mode: bool = True

    def __post_init__(self) -> None:
        """Refuse values that no picture could be cut with.

        Raises:
            ModelError: names the field.
        """
        for name in ("scale_resolution", "patch_size", "max_slice_nums", "query_num"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"config.json: '{name}' is {value!r}; pictures need a whole number of at least 1.")
        if not isinstance(self.slice_mode, bool):
            raise ModelError(f"config.json: 'slice_mode' is {self.slice_mode!r}, neither true nor false.")

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Slicing:
        """Return what the content of a config.json says; fields that it lacks have their published values.

        Raises:
            ModelError: a value cannot be used.
        """
        return cls(**{field.name: config[field.name] for field in fields(cls) if field.name in config})

    def plan(self, width: int, height: int) -> Plan:
        """Return how a picture of this size is cut.

        Raises:
            ValueError: a side is not positive.
        """
        if width < 1 or height < 1:
            raise ValueError(f"a picture of {width} x {height} pixels cannot be cut")
        if not self.slice_mode:
            return Plan((width, height), None, None, self.query_num)
        count = min(math.ceil(width * height / self.scale_resolution**2), self.max_slice_nums)
        grid = self._grid(width, height, count) if count > 1 else None
        overview = self._fit(width, height, enlarge=count <= 1)
        if grid is None:
            return Plan(overview, None, None, self.query_num)
        columns, rows = grid
        part = self._fit(_snap(width, columns) / columns, _snap(height, rows) / rows, enlarge=True)
        return Plan(overview, grid, part, self.query_num)

    def _fit(self, width: float, height: float, enlarge: bool) -> Size:
        """Return the size of the same shape with about `scale_resolution`² pixels; a small one grows if told to."""
        if enlarge or width * height > self.scale_resolution**2:
            ratio = width / height
            height = int(self.scale_resolution / math.sqrt(ratio))
            width = int(height * ratio)  # from the height that is already a whole number
        return _snap(width, self.patch_size), _snap(height, self.patch_size)

    def _grid(self, width: int, height: int, count: int) -> tuple[int, int] | None:
        """Return the (columns, rows) of about `count` slices whose shape is nearest to the picture's; the first wins."""
        shape = math.log(width / height)
        best, least = None, math.inf
        for number in (count - 1, count, count + 1):
            if number == 1 or number > self.max_slice_nums:
                continue
            for columns in range(1, number + 1):
                if number % columns:
                    continue
                distance = abs(shape - math.log(columns / (number // columns)))
                if distance < least:
                    best, least = (columns, number // columns), distance
        return best


PUBLISHED = Slicing()
"""What the config.json of MiniCPM-V-2 says."""


def placeholder(plan: Plan) -> str:
    """Return the text that stands for a picture: its slots between marks, the grid's rows on lines of their own."""
    block = START + SLOT * plan.queries + END
    if plan.grid is None:
        return block
    columns, rows = plan.grid
    return block + SLICES_START + "\n".join([block * columns] * rows) + SLICES_END


def _snap(length: float, step: int) -> int:
    """Return the multiple of `step` nearest to a length, halves to the even one, and never 0."""
    return max(round(length / step) * step, step)
