"""Norms and angles from small matrices are those of the built products."""

from __future__ import annotations

import math

import pytest
import torch

from tunesmith.adapters.folder import Pair
from tunesmith.adapters.overlap import cosine, inner, norm, squares


def drawn(seed: int, rank: int, scale: float) -> tuple[Pair, torch.Tensor]:
    """A pair for a weight (7, 11), and what it adds."""
    random = torch.Generator().manual_seed(seed)
    pair = Pair(torch.randn(rank, 11, generator=random), torch.randn(7, rank, generator=random), scale)
    return pair, scale * pair.B.double() @ pair.A.double()


def test_they_are_those_of_the_products() -> None:
    (one, first), (two, second) = drawn(1, 3, 0.5), drawn(2, 5, -2.0)
    assert inner(one, two) == pytest.approx(float((first * second).sum()), rel=1e-12)
    assert norm(two) == pytest.approx(float(second.norm()), rel=1e-12)
    wanted = torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), dim=0)
    assert cosine(one, two) == pytest.approx(float(wanted), rel=1e-12)
    assert cosine(one, one._replace(scale=-3)) == pytest.approx(-1)


def test_a_pair_without_effect_has_no_direction() -> None:
    one, _ = drawn(1, 3, 1.0)
    zero = one._replace(B=torch.zeros_like(one.B))
    assert norm(zero) == 0 and math.isnan(cosine(one, zero))


def test_distance_from_a_weighted_sum() -> None:
    (one, first), (two, second) = drawn(1, 3, 0.5), drawn(2, 5, -2.0)
    made, third = drawn(3, 2, 1.0)
    total = 0.3 * first - 2 * second
    apart, size = squares(made, [(0.3, one), (-2.0, two)])
    assert apart == pytest.approx(float((third - total).norm() ** 2)) and size == pytest.approx(
        float(total.norm() ** 2)
    )
    joined = Pair(torch.cat((0.3 * 0.5 * one.A, 4 * two.A)), torch.cat((one.B, two.B), 1), 1.0)
    assert squares(joined, [(0.3, one), (-2.0, two)])[0] < 1e-9 * size
    assert squares(None, [(0.3, one), (-2.0, two)]) == (size, size)
