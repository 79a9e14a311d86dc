"""Customers' messages: four replies a language, and none of the demo's answers among them."""

from __future__ import annotations

from random import Random

from tunesmith.nano.routing import SENTENCES
from tunesmith.nano.text.shop import MESSAGES, message


def test_there_are_four_replies_a_language() -> None:
    rng = Random(0)
    drawn = {message(rng).answer for _ in range(500)}
    assert drawn == {reply for _, reply, _ in MESSAGES} and len(drawn) == 8
    assert not drawn & {label for labels in SENTENCES.values() for label in labels}
