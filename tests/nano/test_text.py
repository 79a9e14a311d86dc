"""The generated text: deterministic, varied, in two languages, with samples held out."""

from __future__ import annotations

import re
from random import Random

import pytest

from tunesmith.nano import text


def draws(seed: int, number: int) -> list[list[dict[str, str]]]:
    rng = Random(seed)
    return [text.conversation(rng) for _ in range(number)]


def test_the_same_seed_gives_the_same_text() -> None:
    assert draws(5, 200) == draws(5, 200)
    assert draws(5, 200) != draws(6, 200)


def test_conversations_are_varied_and_well_formed() -> None:
    found = draws(0, 2000)
    assert len({str(messages) for messages in found}) > 1700
    for messages in found:
        roles = [turn["role"] for turn in messages if turn["role"] != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        assert all(turn["content"] and "{" not in turn["content"].replace("{}", "") for turn in messages)
    everything = "".join(turn["content"] for messages in found for turn in messages)
    assert len(re.findall(r"[\u4e00-\u9fff]", everything)) > 10000
    assert len(re.findall(r"[a-z]+", everything)) > 10000
    assert any(messages[0]["role"] == "system" for messages in found)
    assert any(len(messages) >= 6 for messages in found)


@pytest.mark.parametrize("task", text.TASKS)
def test_each_task_draws_and_holds_out(task: str) -> None:
    rng = Random(task)
    trained = [text.draw(rng, task) for _ in range(60)]
    kept = [text.draw(rng, task, held_out=True) for _ in range(20)]
    assert all(sample.task == task and sample.answer for sample in trained + kept)
    if any(sample.key for sample in kept):
        assert not {sample.key for sample in kept if sample.key} & {sample.key for sample in trained}


def test_long_conversations_reach_far_positions() -> None:
    assert len("".join(turn["content"] for turn in text.long_conversation(Random(0)))) > 400
