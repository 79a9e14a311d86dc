"""Dialogues have one turn or two, and no two are alike."""

from __future__ import annotations

from tunesmith.bench.datasets import persona


def test_turns_alternate() -> None:
    records = persona.records(200, seed=7)
    turns = [[message["role"] for message in record["messages"]] for record in records]
    assert {len(roles) for roles in turns} == {2, 4}
    assert all(roles == ["user", "assistant"] * (len(roles) // 2) for roles in turns)
    assert len({str(record) for record in records}) == 200
    assert not any("{" in message["content"] for record in records for message in record["messages"])
