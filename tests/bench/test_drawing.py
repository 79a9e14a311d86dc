"""Combinations are distinct, follow from the seed, and too many are refused."""

from __future__ import annotations

import pytest

from tunesmith.bench._drawing import distinct
from tunesmith.errors import ConfigError


def test_each_combination_once() -> None:
    drawn = distinct(("ab", "xyz", (1, 2)), 12, seed=1)
    assert len(set(drawn)) == 12
    assert distinct(("ab", "xyz", (1, 2)), 12, seed=1) == drawn != distinct(("ab", "xyz", (1, 2)), 12, seed=2)


def test_more_than_there_are() -> None:
    with pytest.raises(ConfigError, match="has 6 texts, and 7 are asked for"):
        distinct(("ab", "xyz"), 7, seed=1)
