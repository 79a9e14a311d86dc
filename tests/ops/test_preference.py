"""The losses of preference tuning against their definitions, and their gradients where they might not be finite."""

from __future__ import annotations

import math

import pytest
import torch

from tunesmith.ops.preference import Answers, Judged, ipo_loss, kto_loss, orpo_loss, sigmoid_loss

GAINS = [[2.0, -1.5], [-3.0, 0.25], [0.0, 0.0]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_sigmoid() -> None:
    expected = [-math.log(sigmoid(0.3 * (good - bad))) for good, bad in GAINS]
    torch.testing.assert_close(sigmoid_loss(torch.tensor(GAINS), 0.3), torch.tensor(expected))


def test_ipo() -> None:
    counts = [[2, 3], [1, 5], [4, 4]]
    expected = [(g / n - b / m - 1 / 0.6) ** 2 for (g, b), (n, m) in zip(GAINS, counts, strict=True)]
    torch.testing.assert_close(ipo_loss(torch.tensor(GAINS), torch.tensor(counts), 0.3), torch.tensor(expected))


def test_kto() -> None:
    gains, liked = torch.tensor([2.0, 2.0, -1.0]), torch.tensor([True, False, False])
    expected = [1 - sigmoid(0.3 * (2 - 0.5)), 1 - sigmoid(0.3 * (0.5 - 2)), 1 - sigmoid(0.3 * (0.5 + 1))]
    torch.testing.assert_close(kto_loss(gains, liked, 0.5, 0.3), torch.tensor(expected))


def test_orpo() -> None:
    means = [[-0.1, -2.0], [-3.0, -0.4], [-0.69, -0.7]]
    odds = [[math.exp(x) / (1 - math.exp(x)) for x in pair] for pair in means]
    ratios = [math.log(good / bad) for good, bad in odds]
    expected = [-m[0] - 0.2 * math.log(sigmoid(ratio)) for m, ratio in zip(means, ratios, strict=True)]
    found = orpo_loss(torch.tensor(means, dtype=torch.float64), 0.2)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("good", [0.0, -1e-7, -1e-3, -0.6931, -1.0, -30.0, -200.0])
@pytest.mark.parametrize("bad", [0.0, -1e-6, -0.7, -200.0])
def test_orpo_is_finite_at_the_ends(good: float, bad: float) -> None:
    means = torch.tensor([[good, bad]], requires_grad=True)
    loss = orpo_loss(means, 0.1).sum()
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(means.grad).all()
    assert means.grad[0, 0] < 0 and means.grad[0, 1] >= 0


def test_what_pairs_are_judged_by() -> None:
    gains = torch.tensor(GAINS, requires_grad=True)
    judged = Judged.pairs(gains.sum(1), 0.5 * gains)
    assert judged.right.tolist() == [1, 0, 0] and not judged.chosen.requires_grad
    assert judged.chosen.tolist() == [1, -1.5, 0] and judged.rejected.tolist() == [-0.75, 0.125, 0]
    answers = Answers(torch.ones(1, 2), torch.ones(1, 2), torch.tensor([[3.0, 0.0]]), torch.tensor([True]))
    assert answers.gains_P2.tolist() == [[-2, 1]]
