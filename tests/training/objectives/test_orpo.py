"""orpo: the mean log-probability of an answer's tokens is what counts, and nothing before the training."""

from __future__ import annotations

import torch

from tunesmith.ops.preference import Answers, orpo_loss
from tunesmith.training.objectives import orpo


def test_losses_and_rewards() -> None:
    logps, counts = torch.tensor([[-3.0, -5.0]]), torch.tensor([[2, 10]])
    answers = Answers(logps, counts, torch.zeros(1, 2), torch.tensor([True]))
    judged = orpo.judge(answers, orpo.Config(beta=0.5))
    torch.testing.assert_close(judged.losses_P, orpo_loss(torch.tensor([[-1.5, -0.5]]), 0.5))
    assert judged.chosen.tolist() == [-0.75] and judged.rejected.tolist() == [-0.25] and judged.right.tolist() == [0]
    assert not orpo.REFERENCE
