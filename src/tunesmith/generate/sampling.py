"""Sampling: how the next token is chosen, and when an answer is too long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel

TEMPERATURE, TOP_P, TOP_K, REPETITION_PENALTY = 0.3, 0.8, 50, 1.0
"""Used where the model folder names none: those of MiniCPM's published chat helper (top_k is transformers' own)."""
MAX_NEW_TOKENS = 1024
"""Tokens that an answer may have unless told otherwise (fewer where the model's context is full)."""


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. None means: as the model's own generation_config.json says, else the defaults above.

    `temperature` 0 and `greedy` both take the likeliest token. `top_k` 0 switches that limit off. With a `seed`, the
    same conversation gets the same answer on the same machine. `beams` above 1: the likeliest of so many continuations
    is searched instead (nothing is drawn), and appears when it is whole.

    Raises:
        ConfigError: a value out of range.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    max_new_tokens: int | None = None
    seed: int | None = None
    greedy: bool = False
    beams: int = 1

    def __post_init__(self) -> None:
        rules: tuple[tuple[str, float | None, Callable[[float], bool], str], ...] = (
            ("temperature", self.temperature, lambda x: 0 <= x < float("inf"), "0 or more"),
            ("top_p", self.top_p, lambda x: 0 < x <= 1, "more than 0 and at most 1"),
            ("top_k", self.top_k, lambda x: x >= 0, "0 or more"),
            ("repetition_penalty", self.repetition_penalty, lambda x: 0 < x < float("inf"), "more than 0"),
            ("max_new_tokens", self.max_new_tokens, lambda x: x >= 1, "at least 1"),
            ("beams", self.beams, lambda x: x >= 1, "at least 1"),
        )
        for name, value, fits, wanted in rules:
            if value is not None and not fits(value):
                raise ConfigError(f"{name} is {value}, but must be {wanted}.")

    def config(self, model: PreTrainedModel, stop_ids: tuple[int, ...], pad_id: int, room: int) -> GenerationConfig:
        """Return transformers' form of these settings for a model; `room` is how many tokens may be generated."""
        from transformers import GenerationConfig

        own = model.generation_config
        ends: dict[str, Any] = {
            "max_new_tokens": room,
            "eos_token_id": list(dict.fromkeys([*stop_ids, *_numbers(own.eos_token_id)])),
            "pad_token_id": pad_id,
            "num_beams": self.beams,
        }
        penalty = _first(self.repetition_penalty, own.repetition_penalty, REPETITION_PENALTY)
        temperature = _first(self.temperature, own.temperature, TEMPERATURE)
        asked = any(value is not None for value in (self.temperature, self.top_p, self.top_k))
        if self.greedy or self.beams > 1 or temperature == 0 or (own.do_sample is False and not asked):
            return GenerationConfig(do_sample=False, repetition_penalty=penalty, **ends)
        return GenerationConfig(
            do_sample=True,
            temperature=temperature,
            top_p=_first(self.top_p, own.top_p, TOP_P),
            top_k=_first(self.top_k, own.top_k, TOP_K),
            repetition_penalty=penalty,
            **ends,
        )


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None)


def _numbers(value: int | list[int] | None) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)
