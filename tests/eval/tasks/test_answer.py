"""Answers are those of chat, one after the other; what is done is not done again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunesmith.data.picture_files import PictureFiles
from tunesmith.data.types import ImageRef
from tunesmith.errors import ConfigError, DataError
from tunesmith.eval.desk import Desk
from tunesmith.eval.source import Source
from tunesmith.eval.tasks import answer
from tunesmith.generate.sampling import Sampling
from tunesmith.generate.session import Session
from tunesmith.models.load import Loaded, load
from tunesmith.nano import DATA

SHORT = Sampling(greedy=True, max_new_tokens=24)


def test_answers_are_those_of_chat(nano: Loaded, data: str, desk: Callable[[str], Desk]) -> None:
    outcome = answer.run(nano, Source([data]), answer.Config(SHORT, batch_size=3), desk("answer"))
    for row, result in zip(outcome.rows, outcome.results, strict=True):
        session = Session(nano, sampling=SHORT)
        assert result["answer"] == session.ask(row["prompt"][-1]["content"])
        assert session.last is not None
        assert (result["stopped"], result["tokens"]) == (session.last.stopped, session.last.tokens)
        assert result["metrics"]["exact"] == float(result["answer"] == row["expected"])
    assert {measure.name for measure in outcome.measures} >= {"exact", "normalised", "bleu", "chrf", "rougeL", "ended"}


def test_history_and_system_text_are_sent(
    nano: Loaded, records: Callable[..., str], desk: Callable[[str], Desk]
) -> None:
    talk = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "My name is Ann."},
        {"role": "assistant", "content": "Hello, Ann."},
        {"role": "user", "content": "What is my name?"},
        {"role": "assistant", "content": "Ann"},
    ]
    source = Source([records({"messages": talk})])
    outcome = answer.run(nano, source, answer.Config(SHORT), desk("answer"))
    session = Session(nano, system="Be short.", sampling=SHORT)
    session.messages += source.questions[0].conversation.messages[1:-1]
    assert outcome.results[0]["answer"] == session.ask("What is my name?")


def test_after_an_interruption_only_the_rest_is_answered(
    nano: Loaded, data: str, desk: Callable[[str], Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answer.run(
        nano, Source([data]), answer.Config(SHORT, batch_size=2), Desk(desk("answer").folder, "other", "answer")
    )
    asked: list[int] = []
    original = answer.Voice.answer

    def counting(self: Any, prompts: Any, *more: Any) -> None:
        if len(asked) == 2:
            asked.append(0)
            raise KeyboardInterrupt
        asked.append(len(prompts))
        original(self, prompts, *more)

    monkeypatch.setattr(answer.Voice, "answer", counting)
    with pytest.raises(KeyboardInterrupt):
        answer.run(nano, Source([data]), answer.Config(SHORT, batch_size=2), desk("answer"))
    assert asked == [2, 2, 0]
    asked.append(0)
    again = answer.run(nano, Source([data]), answer.Config(SHORT, batch_size=2), desk("answer"))
    assert asked == [2, 2, 0, 0, 1]
    assert again.results == whole.results


def test_pictures_are_shown(desk: Callable[[str], Desk]) -> None:
    loaded = load("nano-minicpmv", device="cpu", dtype="float32")
    file = str(DATA / "pictures" / "validation.json")
    source = Source([file], pictures=PictureFiles((str(DATA / "pictures"),)))
    source.__dict__["questions"] = source.questions[:3]  # a few are enough
    outcome = answer.run(loaded, source, answer.Config(SHORT, batch_size=3), desk("answer"))
    for question, result in zip(source.questions, outcome.results, strict=True):
        (image,) = question.conversation.images
        assert isinstance(image, ImageRef)
        text = question.conversation.messages[-1].content.replace(f"{image.mark}\n", "")
        assert result["answer"] == Session(loaded, sampling=SHORT).ask(text, [image.path])


def test_pictures_for_a_model_without_eyes_are_named(nano: Loaded, desk: Callable[[str], Desk]) -> None:
    source = Source([str(DATA / "pictures" / "validation.json")], pictures=PictureFiles((str(DATA / "pictures"),)))
    with pytest.raises(DataError, match="record 0.*it holds pictures, and this model reads text only"):
        answer.run(nano, source, answer.Config(SHORT), desk("answer"))


def test_what_does_not_fit_is_a_bad_record(
    nano: Loaded, records: Callable[..., str], desk: Callable[[str], Desk]
) -> None:
    talk = [{"role": "user", "content": "red blue " * 3000}, {"role": "assistant", "content": "x"}]
    fits = [{"role": "user", "content": "red"}, {"role": "assistant", "content": "red"}]
    file = records({"messages": talk}, {"messages": fits})
    with pytest.raises(DataError, match="record 0, line 1, field 'messages': The conversation has"):
        answer.run(nano, Source([file]), answer.Config(SHORT), desk("answer"))
    source = Source([file], on_bad="skip")
    outcome = answer.run(nano, source, answer.Config(SHORT), desk("answer"))
    assert [row["record"] for row in outcome.rows] == [1]
    assert len(source.report.bad) == 1


def test_metrics_are_known_before_anything_is_answered() -> None:
    with pytest.raises(ConfigError, match="there is no 'exakt'; did you mean 'exact'"):
        answer.Config(metrics=("exakt",))
