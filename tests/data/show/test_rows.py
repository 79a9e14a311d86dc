"""Rows: what each token is for, in the same ids and labels as training gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.data.chat import RenderOptions, render, render_rows
from tunesmith.data.chats import MarkerChat, template_chat
from tunesmith.data.show.rows import KINDS, Kind, Microscope, Row, View
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE, Conversation, ImageRef, Message, Origin

MINICPM = TextTokenizer.load(Path(__file__).parents[2] / "golden" / "tokenizers" / "minicpm-2b")
WHOLE = RenderOptions()
ENDED = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}"
ENDED += "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"


def talk(*contents: str, system: str | None = None) -> Conversation:
    roles = ("user", "assistant")
    turns = [Message(roles[number % 2], content) for number, content in enumerate(contents)]
    return Conversation((*([Message("system", system)] if system else []), *turns), Origin("a.json", 7, 9))


def look(conversation: Conversation, options: RenderOptions = WHOLE) -> View:
    return Microscope(MarkerChat(), MINICPM, options).look(conversation)


def stretches(row: Row) -> list[tuple[Kind, str]]:
    """The row as runs of one kind."""
    runs: list[tuple[Kind, str]] = []
    for item in row.shown:
        if runs and runs[-1][0] == item.kind:
            runs[-1] = (item.kind, runs[-1][1] + item.text)
        else:
            runs.append((item.kind, item.text))
    return runs


def ids(row: Row) -> list[int]:
    return [number for item in row.shown for number in item.ids]


def labels(row: Row) -> list[int]:
    return [label for item in row.shown for label in item.labels]


def test_kinds_of_the_published_layout() -> None:
    conversation = talk("你好", "你好！", "再短一点", "好", system="你是助手。")
    view = look(conversation)
    (row,) = view.rows
    assert stretches(row) == [
        ("begin", "<s>"),
        ("prompt", " 你是助手。 <用户>你好<AI>"),
        ("learned", " 你好！"),
        ("prompt", " <用户>再短一点<AI>"),
        ("learned", " 好"),
        ("stop", "</s>"),
    ]
    example = render(conversation, MarkerChat(), MINICPM)
    assert row.example == example
    assert (ids(row), labels(row)) == (example.input_ids, example.labels)
    assert view.good and (view.record, str(view.origin)) == (7, "a.json, record 7, line 9")


def test_a_stop_by_label_alone_is_told() -> None:
    conversation = talk("你好", "你好！", "再短一点", "好")
    (row,) = look(conversation).rows
    (item,) = [item for item in row.shown if item.taught]
    assert (item.taught, item.kind, item.labels) == ("</s>", "prompt", (2,))
    assert item.text == " <" and item.ids[0] != 2
    assert row.counts.stops == 2
    (row,) = look(conversation, RenderOptions(end_of_turn="last")).rows
    assert not any(item.taught for item in row.shown) and row.counts.stops == 1


def test_answers_that_are_not_learned_are_context() -> None:
    messages = list(talk("你好", "你好！", "再短一点", "好").messages)
    messages[1] = replace(messages[1], train=False)
    (row,) = look(Conversation(tuple(messages), Origin("a.json", 0))).rows
    assert ("context", " 你好！") in stretches(row) and row.counts.stops == 1
    (row,) = look(talk("你好", "你好！", "再短一点", "好"), RenderOptions(loss_on="last_answer")).rows
    assert ("context", " 你好！") in stretches(row)
    (row,) = look(talk("你好", "你好！"), RenderOptions(loss_on="all")).rows
    assert [kind for kind, _ in stretches(row)] == ["begin", "learned", "stop"]


def test_a_bad_answer_is_context_and_said() -> None:
    view = look(replace(talk("你好", "你好！"), liked=False))
    assert [kind for kind, _ in stretches(view.rows[0])] == ["begin", "prompt", "context"]
    assert view.disliked and view.good and view.rows[0].counts.learned == 0


def test_counts() -> None:
    (row,) = look(talk("你好", "你好！", "再短一点", "好")).rows
    assert row.example is not None
    assert row.counts.learned == row.example.label_count
    assert row.counts.tokens == len(row.example.input_ids)
    assert row.counts.share == pytest.approx(row.example.label_count / len(row.example.input_ids))


@pytest.mark.parametrize("size", range(9, 20))
def test_cut_parts_are_shown(size: int) -> None:
    conversation = talk("你好", "It squares x: 12 👍🏽", "再短一点", "好")
    whole = look(conversation).rows[0]
    (row,) = look(conversation, RenderOptions(max_length=size)).rows
    assert ids(row) == ids(whole)
    assert row.example is not None and len(row.example.input_ids) == size
    assert [item.kind == "cut" for item in row.shown for _ in item.ids] == [n >= size for n in range(len(ids(row)))]
    assert row.counts.cut == row.example.cut and row.counts.cut_labels == row.example.cut_labels
    assert row.counts.stops == len(row.example.stops)


def test_a_cut_within_a_character_divides_it() -> None:
    whole = look(talk("你好", "👍🏽")).rows[0]
    character = next(item for item in whole.shown if len(item.ids) == 4)
    (row,) = look(talk("你好", "👍🏽"), RenderOptions(max_length=character.position + 2)).rows
    shown = [item for item in row.shown if item.position >= character.position][:2]
    assert [(item.kind, item.broken) for item in shown] == [("learned", True), ("cut", True)]
    assert shown[0].text == "<F0 9F>"


def test_a_record_with_nothing_left_to_learn_is_shown_with_its_error() -> None:
    view = look(talk("你好", "你好！"), RenderOptions(max_length=5))
    assert view.error is not None and "Raise max_length" in view.error.mend and not view.good
    assert [kind for kind, _ in stretches(view.rows[0])] == ["begin", "prompt", "cut"]
    assert view.rows[0].example is None and view.proofs[0].holds
    untrained = (Message("user", "你好"), Message("assistant", "你好！", train=False))
    view = look(Conversation(untrained, Origin("a.json", 0)))
    assert view.error is not None and [kind for kind, _ in stretches(view.rows[0])] == ["begin", "prompt", "context"]


def test_what_cannot_be_written_has_no_row() -> None:
    view = look(replace(talk("你好", "你好！"), images=(ImageRef("<image>", "a.png"),)))
    assert view.rows == [] and view.error is not None and view.error.field == "images"


@pytest.mark.parametrize("size", [None, 3, 4, 5, 100])
def test_plain_text(size: int | None) -> None:
    conversation = Conversation((), Origin("a.txt", 0), text="It squares x: 12")
    options = RenderOptions(max_length=size)
    view = look(conversation, options)
    assert [row.example for row in view.rows] == render_rows(conversation, MarkerChat(), MINICPM, options)
    # each row but the first begins with the last token of the one before
    shown = [number for at, row in enumerate(view.rows) for number in ids(row)[min(at, 1) :]]
    assert shown == render(conversation, MarkerChat(), MINICPM).input_ids
    assert view.plain and view.proofs == [] and view.good
    assert all(row.shown[0].kind == "begin" for row in view.rows)
    assert sum(row.counts.stops for row in view.rows) == sum(len(row.example.stops) for row in view.rows if row.example)


def test_templates_with_an_end_token_between_turns() -> None:
    tokenizer = replace(MINICPM, chat_template=ENDED)
    messages = list(talk("你好", "你好！", "再短一点", "好").messages)
    messages[1] = replace(messages[1], train=False)
    view = Microscope(template_chat(tokenizer), tokenizer).look(Conversation(tuple(messages), Origin("a.json", 0)))
    assert [kind for kind, _ in stretches(view.rows[0])] == ["begin", "prompt", "context", "prompt", "learned", "stop"]
    assert ("context", "你好！</s>") in stretches(view.rows[0]) and view.good
    assert [item.special for item in view.rows[0].shown if item.text == "</s>"] == [True, True]
    assert IGNORE not in labels(view.rows[0])[-2:]


def test_all_kinds_are_listed() -> None:
    assert Kind.__args__ == KINDS  # type: ignore[attr-defined]
