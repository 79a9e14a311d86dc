"""Stories and sentences: about what was asked for, with the right English article."""

from __future__ import annotations

import re
from random import Random

from tunesmith.nano.text.stories import sentence, story


def test_a_story_is_about_the_animal_asked_for() -> None:
    rng = Random(0)
    for _ in range(300):
        sample = story(rng)
        assert not re.search(r"\b[Aa] [aeiou]", sample.answer)
        hero = re.search(r"(?:A|a|An|an) (\w+) (?:named|lived)|(?:一只|一只叫.+的)(\w+?)[，来]", sample.answer)
        assert len(sample.answer) > 20 and "{" not in sample.answer
        assert hero is None or (hero[1] or hero[2])[-1] in sample.messages[0]["content"]


def test_a_sentence_holds_the_word() -> None:
    rng = Random(0)
    for _ in range(100):
        sample = sentence(rng)
        word = re.search(r"“(.+)”|(?:with|word) (\w+)\.$", sample.messages[0]["content"].replace("the word ", "word "))
        assert word and (word[1] or word[2].split()[-1]) in sample.answer
