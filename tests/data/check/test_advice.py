"""Every kind of finding has advice, and the other way round."""

from __future__ import annotations

import re

from tunesmith.data.check.advice import ADVICE
from tunesmith.data.check.measures import Probe
from tunesmith.data.check.relations import Records, relations
from tunesmith.data.types import Conversation, Message


def test_every_kind_has_advice() -> None:
    made = Probe()([Conversation((Message("user", "a"), Message("assistant", "b")))], [])
    compared = relations(Records(made.whole, made.prompt, made.signature, made.preference, made.preference))
    later = {
        "cut_answers",
        "gone_answers",
        "unknown_tokens",
        "spelt_in_bytes",
        "beyond_model",
        "short_answers",
        "very_long",
    }
    assert {*made.hits, *(one.kind for one in compared), *later} == set(ADVICE)


def test_warnings_come_before_notes() -> None:
    levels = [advice.level for advice in ADVICE.values()]
    assert levels == sorted(levels, reverse=True)


def test_advice_is_whole_sentences() -> None:
    for kind, advice in ADVICE.items():
        assert re.fullmatch(r"[a-z].*[^.]", advice.what), kind
        assert re.fullmatch(r"[A-Z].*\.", advice.mend), kind
        assert advice.level in ("warning", "note")
