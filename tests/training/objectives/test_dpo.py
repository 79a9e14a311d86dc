"""dpo: which loss, and what the rewards are."""

from __future__ import annotations

import pytest
import torch

from tunesmith.ops.preference import Answers, ipo_loss, sigmoid_loss
from tunesmith.training.objectives import dpo

ANSWERS = Answers(
    torch.tensor([[-3.0, -5.0], [-9.0, -2.0]]),
    torch.tensor([[2, 3], [4, 1]]),
    torch.tensor([[-4.0, -4.0], [-8.0, -2.5]]),
    torch.tensor([True, True]),
)


@pytest.mark.parametrize("loss", ["sigmoid", "ipo"])
def test_losses_and_rewards(loss: str) -> None:
    judged = dpo.judge(ANSWERS, dpo.Config(beta=0.5, loss_type=loss))
    gains = torch.tensor([[1.0, -1.0], [-1.0, 0.5]])
    expected = sigmoid_loss(gains, 0.5) if loss == "sigmoid" else ipo_loss(gains, ANSWERS.counts_P2, 0.5)
    torch.testing.assert_close(judged.losses_P, expected)
    assert judged.chosen.tolist() == [0.5, -0.5] and judged.rejected.tolist() == [-0.5, 0.25]
    assert judged.right.tolist() == [1, 0]
