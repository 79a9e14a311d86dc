"""All rows share one long system prompt, and differ behind it."""

from __future__ import annotations

from tunesmith.bench.datasets import long
from tunesmith.data.chats import load_chat
from tunesmith.locate import locate


def test_the_prompt_is_shared_and_long() -> None:
    records = long.records(100, seed=7)
    prompts = {record["messages"][0]["content"] for record in records}
    assert prompts == {long.system_prompt()}
    tokens = len(load_chat(locate("nano-minicpm"), None)[0].encode(long.system_prompt()))
    assert 900 <= tokens <= 1100
    assert len({str(record) for record in records}) == 100
    assert {len(record["messages"]) for record in records} == {5, 7}
    assert not any("{" in message["content"] for record in records for message in record["messages"])
