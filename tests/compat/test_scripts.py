"""Which script a command line is for, and what of the model learns."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.compat.scripts import FLAGS, MINICPM, MINICPMV, NAMES, choose_script, objective_of, tuning_of
from tunesmith.errors import ConfigError
from tunesmith.tuning import lora

REGEX = r"llm\..*layers\.\d+\.self_attn\.(q_proj|k_proj|v_proj)"
PARTS = {"language": "lora", "vision": "full", "resampler": "full", "embeddings": "full"}


@pytest.mark.parametrize(
    ("values", "asked", "script"),
    [
        ({"train_data_path": "x"}, None, MINICPM),
        ({"data_path": "x"}, None, MINICPMV),
        ({"tune_vision": True}, None, MINICPMV),
        ({"qlora": True}, None, MINICPM),
        ({}, MINICPMV, MINICPMV),
        ({"data_path": "x"}, MINICPMV, MINICPMV),
    ],
)
def test_which_script(values: dict[str, Any], asked: str | None, script: str) -> None:
    assert choose_script(values, asked) == script


@pytest.mark.parametrize(
    ("values", "asked", "complaint"),
    [
        ({}, None, r"training data are missing.*a comment or an empty line"),
        ({"seed": 1}, None, "training data are missing"),
        (
            {"train_data_path": "x", "tune_llm": True},
            None,
            "--tune_llm belongs to MiniCPM-V's .* --train_data_path says",
        ),
        ({"data_path": "x"}, MINICPM, r"--data_path belongs to MiniCPM-V's .* --script says MiniCPM's"),
        ({"data_path": "x"}, "minicpm3", "--script is 'minicpm3', but must be minicpm or minicpmv"),
    ],
)
def test_which_script_is_unclear(values: dict[str, Any], asked: str | None, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        choose_script(values, asked)


@pytest.mark.parametrize(
    ("script", "values", "tuning"),
    [
        (MINICPM, {}, {"method": "full"}),
        (
            MINICPM,
            {"use_lora": True},
            {
                "method": "lora",
                "rank": 64,
                "alpha": 32.0,
                "dropout": 0.1,
                "targets": ["q_proj", "v_proj"],
                "init": "gaussian",
            },
        ),
        (MINICPMV, {}, {"method": "full"}),
        (MINICPMV, {"tune_vision": True, "tune_llm": True}, {"method": "full"}),
        (
            MINICPMV,
            {"use_lora": True},
            {"method": "lora", "rank": 64, "alpha": 64.0, "dropout": 0.05, "targets": REGEX, **PARTS},
        ),
        (
            MINICPMV,
            {"tune_llm": False},
            {"method": "lora", "language": "frozen", "vision": "full", "resampler": "full", "embeddings": "frozen"},
        ),
        (
            MINICPMV,
            {"tune_vision": False, "tune_llm": True},
            {"method": "lora", "language": "full", "vision": "frozen", "resampler": "full", "embeddings": "full"},
        ),
    ],
)
def test_tuning(script: str, values: dict[str, Any], tuning: dict[str, Any]) -> None:
    found = tuning_of(script, values)
    assert found == tuning
    if tuning["method"] == "lora":
        lora.Config.model_validate(found)


def test_numbers_of_lora_and_a_frozen_tower() -> None:
    values = {"use_lora": True, "lora_r": 8, "lora_alpha": 16.0, "lora_dropout": 0.0, "tune_vision": False}
    found = tuning_of(MINICPMV, {**values, "lora_target_modules": ["llm.*q_proj"]})
    assert (found["rank"], found["alpha"], found["dropout"], found["vision"]) == (8, 16.0, 0.0, "frozen")
    assert found["targets"] == "llm.*q_proj"


@pytest.mark.parametrize(
    ("words", "targets"),
    [(["q_proj"], ["q_proj"]), (["q_proj,v_proj"], ["q_proj", "v_proj"]), (["a", "b"], ["a", "b"]), (["a.*b"], "a.*b")],
)
def test_targets_are_names_or_an_expression(words: list[str], targets: Any) -> None:
    assert tuning_of(MINICPM, {"use_lora": True, "lora_target_modules": words})["targets"] == targets


@pytest.mark.parametrize(("script", "flag"), [(MINICPM, "qlora"), (MINICPMV, "q_lora")])
def test_qlora(script: str, flag: str) -> None:
    found = tuning_of(script, {"use_lora": True, flag: True})
    assert found == {**tuning_of(script, {"use_lora": True}), "method": "qlora"}
    assert tuning_of(script, {"use_lora": True, flag: False})["method"] == "lora"
    with pytest.raises(ConfigError, match=f"--{flag} needs --use_lora"):
        tuning_of(script, {flag: True})


DPO = {"model_name_or_path": "a/b", "use_dpo": True}


@pytest.mark.parametrize(
    ("values", "beta"),
    [
        (DPO, 0.1),
        ({**DPO, "dpo_beta": 0.02, "sft_loss_weight": 0.0, "reference_model_path": "a/b/"}, 0.02),
    ],
)
def test_dpo(values: dict[str, Any], beta: float) -> None:
    notes: list[str] = []
    assert objective_of(values, notes) == {"method": "dpo", "beta": beta}
    assert len(notes) == 1
    assert "divide --dpo_beta by the tokens of a row" in notes[0]


def test_what_belongs_to_dpo_has_no_effect_without_it() -> None:
    notes: list[str] = []
    assert objective_of({"use_dpo": False, "dpo_beta": 0.1, "reference_model_path": "x"}, notes) == {}
    assert notes == [f"--{name}: no effect; it belongs to --use_dpo." for name in ("dpo_beta", "reference_model_path")]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"sft_loss_weight": 0.5}, r"--sft_loss_weight 0\.5 is not supported; .*set `objective: orpo`"),
        ({"reference_model_path": "c"}, "--reference_model_path c is not supported; .*the training, 'a/b'"),
    ],
)
def test_what_dpo_cannot_be_given(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        objective_of({**DPO, **values}, [])


def test_contradictions() -> None:
    with pytest.raises(ConfigError, match="--use_lora and --tune_llm true contradict each other"):
        tuning_of(MINICPMV, {"use_lora": True, "tune_llm": True})
    with pytest.raises(ConfigError, match="adapters here have no biases"):
        tuning_of(MINICPMV, {"use_lora": True, "lora_bias": "all"})
    assert tuning_of(MINICPMV, {"use_lora": True, "lora_bias": "none"})["method"] == "lora"


def test_flags_belong_to_known_scripts() -> None:
    assert {flag.only for flag in FLAGS.values()} == {"", *NAMES}
