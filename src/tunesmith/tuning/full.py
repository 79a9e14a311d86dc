"""full: every parameter learns, but those that the family keeps fixed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..models.family import Family

RESULT = "model"
"""The folder of the run that holds the result."""


class Config(BaseModel):
    """All parameters are trained, in float32 (mixed precision computes in bfloat16 or float16), or in bfloat16.

    `master_weights`: "float32", or weights in bfloat16 alone whose small updates are not lost: "kahan" keeps what was
    rounded away, "stochastic" rounds at random (`training/bf16_adamw.py`).
    """

    model_config = ConfigDict(extra="forbid")

    method: Literal["full"] = "full"
    master_weights: Literal["float32", "kahan", "stochastic"] = "float32"


def apply(model: PreTrainedModel, family: Family, config: Config) -> PreTrainedModel:
    """Let every parameter learn; the weights are held in float32, unless the optimiser makes up for bfloat16.

    What the family keeps fixed (`Family.frozen`: MiniCPM-V's sine-cosine code) stays so, as in the published script.
    """
    (model.float() if config.master_weights == "float32" else model.bfloat16()).requires_grad_(True)
    for name in family.frozen:
        model.get_parameter(name).requires_grad_(False)
    return model


def save(model: PreTrainedModel, folder: Path) -> bool:
    """Write the model into `folder`, in the published layout. True: the stored tensors are the trained ones."""
    model.save_pretrained(folder)
    return True
