"""Drafts of conversations, and the one check of their order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.formats._turns import FROM_VALUE, ROLE_CONTENT, ROLES, Draft, check_order
from tunesmith.data.types import Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.json", 0)


@given(st.lists(st.sampled_from(ROLES), min_size=1, max_size=6))
def test_order(roles: list[str]) -> None:
    letters = "".join(role[0] for role in roles)
    body = letters.removeprefix("s")
    good = body.startswith("u") and body.endswith("a") and "s" not in body
    good = good and not any(pair in body for pair in ("uu", "aa", "ut", "tu"))
    places = [f"m[{number}].role" for number in range(len(roles))]
    try:
        check_order([Message(role, "x") for role in roles], places, ORIGIN)
        assert good
    except RecordError as error:
        assert not good and error.field in places


def test_a_draft_names_where_its_messages_come_from() -> None:
    draft = Draft(ORIGIN)
    draft.system({"system": "s"})
    draft.history([["a", "b"]])
    draft.turn({"from": "human", "value": "c"}, "talk[0]", FROM_VALUE)
    draft.read([{"role": "assistant", "content": "d"}], "more", ROLE_CONTENT)
    assert draft.places == ["system", "history[0][0]", "history[0][1]", "talk[0].from", "more[0].role"]
    assert draft.turns == ["system", "history[0][0]", "history[0][1]", "talk[0]", "more[0]"]
    assert [m.content for m in draft.finish({}).messages] == ["s", "a", "b", "c", "d"]


def test_say() -> None:
    draft = Draft(ORIGIN)
    draft.say("tool", "", "a")
    with pytest.raises(RecordError, match="'b': it is empty: no words"):
        draft.say("user", "", "b", "no words")
    with pytest.raises(RecordError, match="'c': it is null"):
        draft.say("user", None, "c")
    assert draft.messages == [Message("tool", "")]
