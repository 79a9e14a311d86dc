"""Sampling settings: what holds when, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.errors import ConfigError
from tunesmith.generate.sampling import Sampling


class FakeModel:
    """A model with nothing but generation settings."""

    def __init__(self, **settings: Any) -> None:
        from transformers import GenerationConfig

        self.generation_config = GenerationConfig(**settings)


def test_the_published_defaults_hold_where_the_model_has_none() -> None:
    config = Sampling().config(FakeModel(), (2,), 0, 7)  # type: ignore[arg-type]
    assert (config.do_sample, config.temperature, config.top_p, config.top_k) == (True, 0.3, 0.8, 50)
    assert (config.max_new_tokens, config.eos_token_id, config.pad_token_id) == (7, [2], 0)


def test_the_models_own_settings_hold_and_the_users_go_over_them() -> None:
    model = FakeModel(do_sample=True, temperature=0.7, top_p=0.9, repetition_penalty=1.1, eos_token_id=[2, 5])
    config = Sampling(top_p=0.5).config(model, (2, 3), 0, 7)  # type: ignore[arg-type]
    assert (config.temperature, config.top_p, config.repetition_penalty) == (0.7, 0.5, 1.1)
    assert config.eos_token_id == [2, 3, 5]


def test_a_model_that_is_meant_to_be_greedy_is_greedy_unless_asked_otherwise() -> None:
    model = FakeModel(do_sample=False)
    assert Sampling().config(model, (2,), 0, 7).do_sample is False  # type: ignore[arg-type]
    assert Sampling(top_p=0.9).config(model, (2,), 0, 7).do_sample is True  # type: ignore[arg-type]


@pytest.mark.parametrize("sampling", [Sampling(greedy=True), Sampling(temperature=0)])
def test_greedy_and_temperature_0_are_the_same(sampling: Sampling) -> None:
    config = sampling.config(FakeModel(do_sample=True, temperature=0.7), (2,), 0, 7)  # type: ignore[arg-type]
    assert config.do_sample is False
    assert config.temperature is None


def test_beams_draw_nothing() -> None:
    config = Sampling(beams=3, temperature=0.7).config(FakeModel(do_sample=True), (2,), 0, 7)  # type: ignore[arg-type]
    assert (config.num_beams, config.do_sample) == (3, False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("repetition_penalty", 0),
        ("max_new_tokens", 0),
        ("beams", 0),
    ],
)
def test_values_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"{name} is .*, but must be"):
        Sampling(**{name: value})  # type: ignore[arg-type]
