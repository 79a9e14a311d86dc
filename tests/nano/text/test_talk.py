"""Small talk: no remark has two answers."""

from __future__ import annotations

from random import Random

from tunesmith.nano.text.talk import TALK, small_talk


def test_each_remark_has_one_answer() -> None:
    remarks = [remark for _, ways, _ in TALK for remark in ways.split(";")]
    assert len(remarks) == len(set(remarks)) > 150
    assert not small_talk(Random(0)).held_out
