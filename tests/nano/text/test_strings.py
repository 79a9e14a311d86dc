"""Operations on words: the drawn answers are made of the question's own words."""

from __future__ import annotations

import re
from random import Random

from tunesmith.nano.text import strings


def test_repeated_text_is_in_the_question() -> None:
    rng = Random(0)
    for _ in range(200):
        sample = strings.repeat(rng)
        half = sample.answer[: len(sample.answer) // 2]
        assert sample.answer in sample.messages[0]["content"] or sample.answer == f"{half} {half}"


def test_reversed_lists_are_reversed() -> None:
    rng = Random(0)
    for _ in range(100):
        sample = strings.reverse(rng)
        items = re.split("、|, ", sample.answer)
        assert sample.messages[0]["content"].endswith(("、" if "、" in sample.answer else ", ").join(items[::-1]))


def test_words_are_spelled_and_picked() -> None:
    rng = Random(0)
    for _ in range(200):
        spelled, picked, read = strings.spell(rng), strings.pick(rng), strings.read(rng)
        asked = spelled.messages[0]["content"]
        assert spelled.answer.isdigit() or spelled.answer.replace("-", "").lower() in asked
        assert picked.answer.isdigit() or picked.answer in picked.messages[0]["content"]
        assert read.answer in read.messages[0]["content"]
