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
    """No choices: all parameters are trained, in float32 (mixed precision computes in bfloat16 or float16)."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["full"] = "full"


def apply(model: PreTrainedModel, family: Family, config: Config) -> PreTrainedModel:
    """Let every parameter learn; the weights are held in float32, since bfloat16 loses small updates.

    What the family keeps fixed (`Family.frozen`: MiniCPM-V's sine-cosine code) stays so, as in the published script.
    """
    model.float().requires_grad_(True)
    for name in family.frozen:
        model.get_parameter(name).requires_grad_(False)
    return model


def save(model: PreTrainedModel, folder: Path) -> bool:
    """Write the model into `folder`, in the published layout. True: the stored tensors are the trained ones."""
    model.save_pretrained(folder)
    return True
