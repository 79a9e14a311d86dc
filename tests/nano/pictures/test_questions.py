"""Questions and answers: true to the scene, in the language asked for, and no wording with two right answers."""

from __future__ import annotations

from random import Random

import pytest

from tunesmith.nano.pictures import draw
from tunesmith.nano.pictures.questions import NO, WORDINGS, YES, ask, sentence
from tunesmith.nano.pictures.scene import Scene, Thing
from tunesmith.nano.pictures.words import BACKGROUNDS, COLOURS, LANGUAGES, PLACES, SHAPES, Language

BOX = (0, 0, 10, 10)
ONE = Scene("one", (70, 70), "grey", (Thing("star", "orange", "left", BOX),))
TWO = Scene("two", (70, 70), "pink", (Thing("ring", "red", "top", BOX), Thing("cross", "blue", "bottom", BOX)))
MANY = Scene("many", (70, 70), "beige", (Thing("cross", "green", "", BOX),) * 3)
LETTER = Scene("glyph", (70, 70), "grey", (Thing("letter", "black", "centre", BOX, "K"),))


@pytest.mark.parametrize(
    ("scene", "chinese", "english"),
    [
        (ONE, "左边有一个橙色的五角星。", "There is an orange star on the left."),
        (
            TWO,
            "上边有一个红色的圆环，下边有一个蓝色的十字。",
            "There is a red ring at the top and a blue cross at the bottom.",
        ),
        (MANY, "有三个绿色的十字。", "There are three green crosses."),
        (LETTER, "中间有一个黑色的字母K。", "There is a black letter K in the centre."),
    ],
)
def test_sentences(scene: Scene, chinese: str, english: str) -> None:
    assert sentence(scene, "zh") == chinese and sentence(scene, "en") == english


@pytest.mark.parametrize("language", LANGUAGES)
def test_answers_are_true(language: Language) -> None:
    for seed in range(300):
        scene, _ = draw(seed)
        first = scene.things[0]
        questions = ask(scene, Random(seed), language)
        assert len({question.kind for question in questions}) == len(questions) >= 6
        right = {
            "colour": COLOURS[first.colour][language],
            "count": str(len(scene.things)),
            "background": BACKGROUNDS[scene.background][language],
            "describe": sentence(scene, language),
            "letter": first.glyph,
            "digit": first.glyph,
        }
        right |= {} if first.glyph else {"shape": SHAPES[first.shape][language]}
        right |= {"where": PLACES[first.place][language]} if first.place else {}
        for question in questions:
            assert question.answer == right.get(question.kind, question.answer), (scene, question)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_asked_about_one_of_two_is_answered_about_that_one(language: Language) -> None:
    both = {name[language]: thing for thing in TWO.things for name in (SHAPES[thing.shape], COLOURS[thing.colour])}
    for seed in range(20):
        asked = {question.kind: question for question in ask(TWO, Random(seed), language)}
        for kind in ("colour of", "shape of"):
            (thing,) = {thing for word, thing in both.items() if word in asked[kind].text}
            right = COLOURS[thing.colour] if kind == "colour of" else SHAPES[thing.shape]
            assert asked[kind].answer == right[language]


def test_yes_and_no_are_true_and_balanced() -> None:
    given = []
    for seed in range(300):
        scene, _ = draw(seed)
        for question in ask(scene, Random(seed), "zh"):
            if question.kind.startswith("has"):
                there = any(
                    (question.kind == "has shape" or COLOURS[thing.colour]["zh"] in question.text)
                    and (question.kind == "has colour" or SHAPES[thing.shape]["zh"] in question.text)
                    for thing in scene.things
                )
                assert question.answer == (YES if there else NO)["zh"], (scene, question)
                given.append(there)
    assert 0.4 < sum(given) / len(given) < 0.6


def test_a_wording_belongs_to_one_kind() -> None:
    """But for "what is written here", which has one right answer for a letter and for a digit."""
    for language in LANGUAGES:
        kinds: dict[str, set[str]] = {}
        for kind, wordings in WORDINGS.items():
            for text in wordings[language]:
                kinds.setdefault(text, set()).add(kind)
        assert all(found in ({"letter", "digit"},) or len(found) == 1 for found in kinds.values())
