"""orpo: learn the good answer of a pair as in sft, and make its odds larger than the bad one's; no model to compare with.

Source: arXiv 2403.07691. The answer alone is learned, as in sft; TRL's trainer learns the prompt too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ...data.chat import Answers as Kind

if TYPE_CHECKING:
    from ...ops.preference import Answers, Judged

ANSWERS: Kind = "pairs"
REFERENCE = False
RATE = 1.0


class Config(BaseModel):
    """`beta`: how much the odds count beside the good answer (lambda in the paper)."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["orpo"] = "orpo"
    beta: float = Field(0.1, gt=0, validation_alias=AliasChoices("beta", "pref_beta"))


def judge(answers: Answers, config: Config) -> Judged:
    """Return the loss of each pair and its rewards, beta times the mean log-probability of an answer's tokens."""
    from ...ops.preference import Judged, orpo_loss

    means_P2 = answers.logps_P2 / answers.counts_P2
    return Judged.pairs(orpo_loss(means_P2, config.beta), config.beta * means_P2)
