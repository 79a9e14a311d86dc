"""distinct(): combinations of words, each once, in an order that follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import prod
from typing import Any

from ..errors import ConfigError


def distinct(parts: Sequence[Sequence[Any]], count: int, seed: int) -> list[tuple[Any, ...]]:
    """Return `count` combinations of one of each part, no two alike.

    Raises:
        ConfigError: there are not so many.
    """
    most = prod(len(part) for part in parts)
    if count > most:
        raise ConfigError(f"This data set has {most:,} texts, and {count:,} are asked for. Give fewer --steps.")
    found = []
    for number in random.Random(seed).sample(range(most), count):
        chosen = []
        for part in parts:
            number, place = divmod(number, len(part))
            chosen.append(part[place])
        found.append(tuple(chosen))
    return found
