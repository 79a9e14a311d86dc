"""kto: make answers that are judged good more likely, and those judged bad less, compared with the model before.

Each answer is measured against a baseline: how much another record's answer to its prompt has gained, on average over the
batch (all ranks), and never less than nothing. A pair counts as a good and a bad answer.

Source: arXiv 2402.01306.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ...data.chat import Answers as Kind

if TYPE_CHECKING:
    from ...ops.preference import Answers, Judged

ANSWERS: Kind = "judged"
REFERENCE = True
RATE = 0.1


class Config(BaseModel):
    """`beta`: how much it costs to move away from the model before.

    `desirable_weight`, `undesirable_weight`: what the loss of good and of bad answers is multiplied by; with many more
    of one kind, raise the other's so that (weight x number) of both is alike.
    """

    model_config = ConfigDict(extra="forbid")

    method: Literal["kto"] = "kto"
    beta: float = Field(0.1, gt=0, validation_alias=AliasChoices("beta", "pref_beta"))
    desirable_weight: float = Field(1.0, ge=0, validation_alias=AliasChoices("desirable_weight", "kto_chosen_weight"))
    undesirable_weight: float = Field(
        1.0, ge=0, validation_alias=AliasChoices("undesirable_weight", "kto_rejected_weight")
    )


def judge(answers: Answers, config: Config) -> Judged:
    """Return the loss of each answer and its reward, beta times what it has gained.

    An answer is told rightly if it has gained more than the baseline and is good, or not more and is bad.
    """
    import torch

    from ...ops.preference import Judged, kto_loss

    gains_P, liked_P = answers.gains_P2[:, 0], answers.liked_P
    weights_P = torch.where(liked_P, config.desirable_weight, config.undesirable_weight)
    losses_P = weights_P * kto_loss(gains_P, liked_P, answers.baseline, config.beta)
    rewards_P = config.beta * gains_P.detach()
    right_P = (rewards_P > config.beta * answers.baseline) == liked_P
    return Judged(losses_P, rewards_P[liked_P], rewards_P[~liked_P], right_P.float())
