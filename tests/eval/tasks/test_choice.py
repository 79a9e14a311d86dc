"""The likeliest choice is the one with the greatest log-probability by the plain definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tunesmith.data.chat import render
from tunesmith.data.types import Conversation, Message
from tunesmith.errors import DataError
from tunesmith.eval.desk import Desk
from tunesmith.eval.likelihood import Likelihood
from tunesmith.eval.source import Source
from tunesmith.eval.tasks import choice
from tunesmith.models.load import Loaded

CHOICES = ("red", "a very long answer that says nothing at all", "二")


def record(question: str, answer: str) -> dict[str, Any]:
    talk = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": talk, "choices": list(CHOICES)}


@torch.no_grad()
def score(loaded: Loaded, question: str, answer: str) -> tuple[float, int]:
    """Return the log-probability of an answer with its end, and its tokens: chat's prompt, then token by token."""
    model = Likelihood(loaded)
    asked = Conversation((Message("user", question),))
    ids = render(asked, model.chat, model.tokenizer, open_turn=True).input_ids
    answered = [*model.tokenizer.encode_all([answer])[0], model.chat.stop_ids(model.tokenizer)[0]]
    total = 0.0
    for token in answered:
        total += float(model.inner(input_ids=torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)[token])
        ids = [*ids, token]
    return total, len(answered)


def test_the_likeliest_choice(nano: Loaded, records: Callable[..., str], desk: Callable[[str], Desk]) -> None:
    questions = ["Say the word red.", "Which number comes after one, and why do you think so?", "二"]
    source = Source([records(*(record(question, "red") for question in questions))])
    outcome = choice.run(nano, source, choice.Config(batch_size=6), desk("choice"))
    for question, result in zip(questions, outcome.results, strict=True):
        scores = [score(nano, question, one) for one in CHOICES]
        assert result["logps"] == pytest.approx([logp for logp, _ in scores], rel=1e-4)
        assert result["tokens"] == [count for _, count in scores]
        assert result["chosen"] == max(zip(scores, CHOICES, strict=True))[1]
        assert result["chosen_per_token"] == max((logp / n, c) for (logp, n), c in zip(scores, CHOICES, strict=True))[1]
    accuracy, per_token = outcome.measures
    assert accuracy.value == sum(result["chosen"] == "red" for result in outcome.results) / 3
    assert per_token.value == sum(result["chosen_per_token"] == "red" for result in outcome.results) / 3
    assert outcome.rows[0]["choices"] == list(CHOICES)


def test_a_second_start_computes_nothing(
    nano: Loaded, records: Callable[..., str], desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source([records(record("a", "red"), record("b", "二"))])
    first = choice.run(nano, source, choice.Config(), desk("choice"))
    monkeypatch.delattr(Likelihood, "groups")
    assert choice.run(nano, source, choice.Config(), desk("choice")).results == first.results


def test_a_choice_that_teaches_nothing_is_named(
    nano: Loaded, records: Callable[..., str], desk: Callable[[str], Desk]
) -> None:
    with pytest.raises(DataError, match="choices"):
        choice.run(
            nano, Source([records({**record("a", "red"), "choices": ["", "red"]})]), choice.Config(), desk("choice")
        )
