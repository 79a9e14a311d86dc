"""The losses of preference tuning, from the log-probabilities of whole answers: one number for each pair or answer.

P pairs; column 0 is the good answer (KTO: the judged one), column 1 the bad one (KTO: another record's). All float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

NEARLY_CERTAIN = -(2.0**-20)
"""The largest mean log-probability whose odds are taken: those of 0 are infinite."""


@dataclass(frozen=True)
class Answers:
    """What is known of the answers of a batch.

    logps_P2: the log-probability of each answer, summed over its tokens; counts_P2: how many these are.
    reference_P2: the same of the model before training (0 where it is not used). liked_P: KTO's verdicts.
    baseline: KTO's estimate of how far the model has moved as a whole.
    """

    logps_P2: Tensor
    counts_P2: Tensor
    reference_P2: Tensor
    liked_P: Tensor
    baseline: float = 0.0

    @property
    def gains_P2(self) -> Tensor:
        """How much the log-probability of each answer has risen in training."""
        return self.logps_P2 - self.reference_P2


@dataclass(frozen=True)
class Judged:
    """losses_P (P,); the rewards of good and of bad answers, and which are told apart rightly (1 or 0), without gradient."""

    losses_P: Tensor
    chosen: Tensor
    rejected: Tensor
    right: Tensor

    @classmethod
    def pairs(cls, losses_P: Tensor, rewards_P2: Tensor) -> Judged:
        """Return what follows from the rewards of pairs: the good answer's is to be larger."""
        good_P, bad_P = rewards_P2.detach().unbind(1)
        return cls(losses_P, good_P, bad_P, (good_P > bad_P).float())


def sigmoid_loss(gains_P2: Tensor, beta: float) -> Tensor:
    """Return DPO's loss, -log sigmoid(beta * (gain of the good answer - gain of the bad one)) (arXiv 2305.18290, 7)."""
    good_P, bad_P = gains_P2.unbind(1)
    return -logsigmoid(beta * (good_P - bad_P))


def ipo_loss(gains_P2: Tensor, counts_P2: Tensor, beta: float) -> Tensor:
    """Return IPO's loss, (difference of the gains a token - 1 / (2 beta))^2 (arXiv 2310.12036, 17).

    Gains are taken a token, so that long answers do not count more; this is the form that the authors used.
    """
    good_P, bad_P = (gains_P2 / counts_P2).unbind(1)
    return (good_P - bad_P - 1 / (2 * beta)) ** 2


def kto_loss(gains_P: Tensor, liked_P: Tensor, baseline: float, beta: float) -> Tensor:
    """Return KTO's loss, 1 - sigmoid(+-beta * (gain - baseline)), + for good and - for bad answers (2402.01306, 7)."""
    sign_P = torch.where(liked_P, 1.0, -1.0)
    return 1 - torch.sigmoid(beta * sign_P * (gains_P - baseline))


def orpo_loss(means_P2: Tensor, beta: float) -> Tensor:
    """Return ORPO's loss: -log p(good) - beta * log sigmoid(log of the odds ratio) (arXiv 2403.07691, 4, 6 and 7).

    means_P2: log p, the mean log-probability of an answer's tokens; its odds are p / (1 - p).
    """
    certain_P2 = means_P2.clamp(max=NEARLY_CERTAIN)
    good_P, bad_P = (certain_P2 - _log_one_minus_exp(certain_P2)).unbind(1)
    return -means_P2[:, 0] - beta * logsigmoid(good_P - bad_P)


def _log_one_minus_exp(x: Tensor) -> Tensor:
    """Return log(1 - exp(x)) of x < 0 without loss of digits: from -log 2 on, 1 - exp(x) is taken at once (expm1)."""
    near, far = x.clamp(min=-1.0), x.clamp(max=-0.5)  # so that the branch not taken has a finite gradient
    return torch.where(x > -0.6931471805599453, torch.log(-torch.expm1(near)), torch.log1p(-torch.exp(far)))
