"""sft: the next token of every answer that is to be learned (`Objective`); supervised fine-tuning."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from ...data.chat import Answers as Kind

ANSWERS: Kind = "good"
REFERENCE = False
RATE = 1.0


class Config(BaseModel):
    """Nothing to be told."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["sft"] = "sft"
