"""Small facts: the drawn answers are those of the word lists, in the language of the question."""

from __future__ import annotations

from random import Random

import pytest

from tunesmith.nano.text import facts
from tunesmith.nano.text.lexicon import CAPITALS, COLOURS, OPPOSITES


@pytest.mark.parametrize("task", facts.TASKS)
def test_a_question_has_one_answer(task: str) -> None:
    rng, known = Random(task), dict[str, str]()
    for _ in range(1500):
        sample = facts.TASKS[task][1](rng)
        question = sample.messages[0]["content"]
        assert known.setdefault(question, sample.answer) == sample.answer, question
    assert len(known) > 40


def test_capitals_and_colours() -> None:
    rng = Random(0)
    names = {name for row in CAPITALS for name in row} | {row[2][0].upper() + row[2][1:] for row in CAPITALS}
    assert all(facts.capital(rng).answer.rstrip("。.") in names for _ in range(200))
    shades = {row[1] for row in COLOURS} | {row[3] for row in COLOURS}
    for _ in range(100):
        answer = facts.colour(rng).answer
        assert any(shade in answer for shade in shades), answer


def test_opposites_go_both_ways() -> None:
    rng = Random(0)
    answers = {facts.opposite(rng).answer for _ in range(2000)}
    assert {OPPOSITES[0][0], OPPOSITES[0][2], OPPOSITES[3][1], OPPOSITES[3][3]} <= answers
