"""Flags and their values: the forms that Hugging Face's parser takes, and what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.compat.words import Flag, read_words
from tunesmith.errors import ConfigError

FLAGS = {
    "bf16": Flag("bool"),
    "learning_rate": Flag("float"),
    "max_steps": Flag("int"),
    "output_dir": Flag("text"),
    "report_to": Flag("list"),
}


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("", {}),
        ("--bf16", {"bf16": True}),
        ("--bf16 --max_steps 3", {"bf16": True, "max_steps": 3}),
        ("--bf16 False --max_steps=3", {"bf16": False, "max_steps": 3}),
        ("--bf16=1", {"bf16": True}),
        ("--no_bf16 --max_steps -1", {"bf16": False, "max_steps": -1}),
        ("--learning-rate 5e-5", {"learning_rate": 5e-5}),
        ("--learning_rate -.5", {"learning_rate": -0.5}),
        ("--output_dir=./out/a=b", {"output_dir": "./out/a=b"}),
        ("--report_to a b --bf16", {"report_to": ["a", "b"], "bf16": True}),
        ("--report_to=a", {"report_to": ["a"]}),
        ("--max_steps 2.0", {"max_steps": 2}),
    ],
)
def test_values(line: str, values: dict[str, Any]) -> None:
    assert read_words(line.split(), FLAGS) == (values, [])


def test_the_last_of_two_counts_and_is_said() -> None:
    values, notes = read_words(["--max_steps", "2", "--max_steps", "3"], FLAGS)
    assert values == {"max_steps": 3}
    assert notes == ["--max_steps is given twice; the last one counts, as in the published script."]


def test_an_empty_value_is_a_value() -> None:
    assert read_words(["--output_dir", ""], FLAGS).values == {"output_dir": ""}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--lerning_rate", "1"], "no flag '--lerning_rate'; did you mean '--learning_rate'?"),
        (["--xyzzy"], r"no flag '--xyzzy'\. Known are"),
        (["--no_max_steps"], "no flag '--no_max_steps'"),
        (["--max_steps"], "--max_steps: the value is missing"),
        (["--report_to", "--bf16"], "--report_to: the value is missing"),
        (["--output_dir", "--bf16"], "that variable is empty"),
        (["--max_steps", "many"], "--max_steps is 'many', but must be a whole number"),
        (["--max_steps", "0.5"], "shares of a run are not supported"),
        (["--max_steps", "inf"], "--max_steps is 'inf', but must be"),
        (["--learning_rate", "1e"], "--learning_rate is '1e', but must be a number"),
        (["--bf16=maybe"], "--bf16 is 'maybe', but must be true or false"),
        (["--max_steps", "3", "4"], "'4' belongs to no flag"),
        (["-x"], "'-x' belongs to no flag"),
        (["--"], "'--' belongs to no flag"),
        (["--bf16", " "], "a word of nothing but spaces"),
    ],
)
def test_mistakes(words: list[str], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_words(words, FLAGS)
