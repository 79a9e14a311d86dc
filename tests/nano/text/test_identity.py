"""Who are you: many wordings, answers of the model itself, and of personas that a system message gives."""

from __future__ import annotations

from random import Random

from tunesmith.nano.text import identity


def test_it_is_asked_in_many_words() -> None:
    assert len(identity.QUESTIONS["zh"]["name"]) >= 30 and len(identity.QUESTIONS["en"]["name"]) >= 30
    for language, kinds in identity.QUESTIONS.items():
        assert kinds.keys() == identity.OWN_ANSWERS[language].keys() == identity.PERSONAS[language][1].keys()
        cores = [core for found in kinds.values() for core in found]
        assert len(cores) == len(set(cores))


def test_sentences_have_their_marks() -> None:
    assert identity.plain("zh", "你是谁") == "你是谁？"
    assert identity.plain("zh", "请介绍你自己") == "请介绍你自己。"
    assert identity.plain("en", "who are you") == "Who are you?"
    assert identity.plain("en", "tell me your name") == "Tell me your name."


def test_a_persona_answers_from_the_system_message() -> None:
    rng = Random(0)
    names = set()
    for _ in range(300):
        system, _, answer = identity.persona(rng).messages
        assert system["role"] == "system"
        names.add(system["content"])
        shared = [part for part in (answer["content"][3:7], answer["content"][-5:-1]) if part in system["content"]]
        assert shared or "回答" in answer["content"] or "questions" in answer["content"] or len(answer["content"]) < 24
    assert len(names) > 290


def test_a_model_can_have_another_name() -> None:
    own = identity.OWN_ANSWERS["en"]
    asked = identity.turns("Who are you?", own["name"], "Who made you?", own["maker"])
    given = identity.named(asked, "nano-bird")
    assert given[1]["content"] == "I am nano-bird, a very small language model."
    assert [given[0], *given[2:]] == [asked[0], *asked[2:]] and asked[1]["content"] == own["name"]
