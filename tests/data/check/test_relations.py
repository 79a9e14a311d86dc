"""Records in relation to others: copies, other answers, and validation that is learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tunesmith.data.check.measures import Probe
from tunesmith.data.check.relations import Records, relations
from tunesmith.data.types import Conversation, Message

LONG = (
    "The old mill by the river still grinds the corn of seven villages, as it did {} years ago. Its wheel was made of "
    "oak from the hill behind the church, and whoever listens at night can hear how it turns, slowly and without rest. "
    "Nobody knows who built it; the oldest map of the valley shows it already, with a bridge that is gone."
)


def talk(question: str, answer: str, liked: bool | None = None) -> Conversation:
    return Conversation((Message("user", question), Message("assistant", answer)), liked=liked)


def found(training: Sequence[Conversation], validation: Sequence[Conversation] = ()) -> dict[str, list[list[int]]]:
    made = Probe()([*training, *validation], [])
    flags = np.arange(len(made.whole)) >= len(training)
    records = Records(made.whole, made.prompt, made.signature, made.preference, flags)
    return {
        one.kind: np.stack([one.records, one.others], axis=1).tolist() for one in relations(records) if len(one.records)
    }


def test_exact_copies_refer_to_the_first() -> None:
    assert found([talk("a", "b"), talk("c", "d"), talk("a", "b"), talk("a", "b")]) == {"copies": [[2, 0], [3, 0]]}


def test_other_answers_to_a_question() -> None:
    assert found([talk("a", "b"), talk("a", "c"), talk("a", "b")]) == {"copies": [[2, 0]], "other_answers": [[1, 0]]}


def test_judged_answers_are_meant_to_differ() -> None:
    assert found([talk("a", "b", True), talk("a", "c", False), talk("a", "b", False)]) == {}


def test_plain_texts_have_no_question() -> None:
    assert found([Conversation((), text="a"), Conversation((), text="b")]) == {}


def test_near_copies() -> None:
    records = [talk("Tell me.", LONG.format("ninety")), talk("x", "y"), talk("Tell me.", LONG.format("ninety!"))]
    assert found(records)["near_copies"] == [[2, 0]]


def test_validation_that_is_learned() -> None:
    training = [talk("a", "b"), talk("c", "d"), talk("Tell me.", LONG.format("ninety"))]
    validation = [talk("e", "f"), talk("c", "d"), talk("a", "z"), talk("Tell  me.", LONG.format("ninety-") + "!")]
    assert found(training, validation) == {
        "validation_copies": [[4, 1]],
        "validation_questions": [[5, 0]],
        "validation_alike": [[6, 2]],
    }


def test_copies_are_looked_for_within_training_and_within_validation() -> None:
    assert found([talk("a", "b")], [talk("c", "d"), talk("c", "d")]) == {"copies": [[2, 1]]}


def test_nothing_is_related_to_nothing() -> None:
    assert found([]) == found([], [talk("a", "b")]) == found([talk("a", "b")]) == {}
