"""qlora: adapters on a frozen base whose linear layers are held in 4 or 8 bits (bitsandbytes); the rest is lora.

The saved adapter is a plain PEFT adapter: it says how its base was held, and fits the unquantised base too.

Source: QLoRA arXiv 2305.14314 (NF4, double quantisation), LLM.int8 2208.07339.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from . import lora
from .lora import RESULT, apply, learning_rate_factor, save

if TYPE_CHECKING:
    from ..models.quantise import Quantisation

__all__ = ["RESULT", "Config", "apply", "learning_rate_factor", "quantisation", "save"]


class Config(lora.Settings):
    """Settings of LoRA, and how the base is held: `quant`, and with `double_quant` (4 bits) the scales in 8 bits.

    Of a model with parts the language model is quantised, and the vision tower when it gets adapters; a part that is
    trained in full never is, so the language model cannot be.
    """

    method: Literal["qlora"] = "qlora"
    quant: Literal["nf4", "fp4", "int8"] = "nf4"
    double_quant: bool = Field(True, description="4 bits: quantise the scales too.")
    language: Literal["lora", "frozen"] = "lora"


def quantisation(config: Config) -> Quantisation:
    """Return how the base is to be held from its loading on; the adapters are put on it as in lora."""
    from ..models.quantise import Quantisation

    parts = ("language", "vision") if config.vision == "lora" else ("language",)
    return Quantisation(config.quant, config.double_quant, parts)
