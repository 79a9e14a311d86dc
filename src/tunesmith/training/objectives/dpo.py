"""dpo: of two answers to a prompt, make the good one more likely than the bad one, compared with the model before.

Sources: DPO arXiv 2305.18290, IPO 2310.12036.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ...data.chat import Answers as Kind

if TYPE_CHECKING:
    from ...ops.preference import Answers, Judged

ANSWERS: Kind = "pairs"
REFERENCE = True
RATE = 0.1


class Config(BaseModel):
    """`beta`: how much it costs to move away from the model before; larger values keep nearer to it.

    `loss`: "sigmoid" is DPO's own; "ipo" aims at a fixed margin, 1 / (2 beta) a token, and does not go beyond.
    """

    model_config = ConfigDict(extra="forbid")

    method: Literal["dpo"] = "dpo"
    beta: float = Field(0.1, gt=0, validation_alias=AliasChoices("beta", "pref_beta"))
    loss: Literal["sigmoid", "ipo"] = Field("sigmoid", validation_alias=AliasChoices("loss", "loss_type", "pref_loss"))


def judge(answers: Answers, config: Config) -> Judged:
    """Return the loss of each pair and its rewards, beta times what each answer has gained."""
    from ...ops.preference import Judged, ipo_loss, sigmoid_loss

    gains_P2 = answers.gains_P2
    if config.loss == "ipo":
        losses_P = ipo_loss(gains_P2, answers.counts_P2, config.beta)
    else:
        losses_P = sigmoid_loss(gains_P2, config.beta)
    return Judged.pairs(losses_P, config.beta * gains_P2)
