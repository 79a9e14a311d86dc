"""kto: weights by verdict, rewards by verdict, and what counts as told rightly."""

from __future__ import annotations

from dataclasses import replace

import torch

from tunesmith.ops.preference import Answers, kto_loss
from tunesmith.training.objectives import kto

ANSWERS = Answers(
    torch.tensor([[3.0, 0.0], [0.5, 0.0], [4.0, 0.0], [-1.0, 0.0]]),
    torch.ones(4, 2),
    torch.zeros(4, 2),
    torch.tensor([True, True, False, False]),
    baseline=1.0,
)


def test_losses_and_rewards() -> None:
    judged = kto.judge(ANSWERS, kto.Config(beta=0.5, desirable_weight=2, kto_rejected_weight=3))
    plain = kto_loss(ANSWERS.logps_P2[:, 0], ANSWERS.liked_P, 1.0, 0.5)
    torch.testing.assert_close(judged.losses_P, plain * torch.tensor([2.0, 2, 3, 3]))
    assert judged.chosen.tolist() == [1.5, 0.25] and judged.rejected.tolist() == [2, -0.5]
    assert judged.right.tolist() == [1, 0, 0, 1]  # more than the baseline or not


def test_answers_of_one_kind() -> None:
    judged = kto.judge(replace(ANSWERS, liked_P=torch.ones(4, dtype=torch.bool)), kto.Config())
    assert len(judged.chosen) == 4 and len(judged.rejected) == 0
