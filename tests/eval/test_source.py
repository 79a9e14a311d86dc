"""Records become questions with what is expected, and those that cannot are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tunesmith.data.picture_files import PictureFiles
from tunesmith.data.types import Message
from tunesmith.errors import DataError
from tunesmith.eval.source import Source
from tunesmith.nano import DATA


def record(question: str, answer: str, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


TALK = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "1"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": "2", "train": False},
        {"role": "user", "content": "three"},
        {"role": "assistant", "content": "3"},
    ]
}


def test_the_last_answer_is_asked_for(records: Callable[..., str]) -> None:
    (question,) = Source([records(TALK)]).questions
    assert question.expected == Message("assistant", "3")
    assert [message.content for message in question.conversation.messages] == [
        "Be short.",
        "one",
        "1",
        "two",
        "2",
        "three",
    ]
    shown = question.as_json()
    assert (shown["record"], shown["line"], shown["turn"], shown["expected"]) == (0, 1, 6, "3")
    assert shown["prompt"][1] == {"role": "user", "content": "one"}


def test_every_answer_is_asked_for_behind_its_true_history(records: Callable[..., str]) -> None:
    first, second = Source([records(TALK)], every_answer=True).questions
    assert (first.turn, first.expected.content, len(first.conversation.messages)) == (2, "1", 2)
    assert (second.turn, second.expected.content, len(second.conversation.messages)) == (6, "3", 6)


def test_a_later_question_has_its_own_pictures_alone(records: Callable[..., str]) -> None:
    picture = str(next((DATA / "pictures" / "images").rglob("*.png")))
    talk = {"images": [picture, picture], "messages": [dict(message) for message in TALK["messages"]]}
    talk["messages"][1]["content"] = "<image>one"  # type: ignore[index]
    talk["messages"][5]["content"] = "three<image>"  # type: ignore[index]
    source = Source([records(talk)], every_answer=True, pictures=PictureFiles((str(DATA),)))
    assert [len(question.conversation.images) for question in source.questions] == [1, 2]
    assert list(source.questions[0].as_json()["images"].values()) == [picture]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "record 1"),
        (record("x", ""), "record 1"),
        ({"messages": [*TALK["messages"][:4], {"role": "assistant", "content": "2", "train": False}]}, None),
    ],
)
def test_bad_records_are_named(records: Callable[..., str], bad: dict[str, Any], reason: str | None) -> None:
    file = records(record("a", "b"), bad)
    if reason is None:
        assert [question.expected.content for question in Source([file]).questions] == ["b", "1"]
        return
    with pytest.raises(DataError, match=reason):
        Source([file]).questions  # noqa: B018
    source = Source([file], on_bad="skip")
    assert len(source.questions) == 1
    assert len(source.report.bad) == 1


def test_a_plain_text_and_a_bad_answer_have_nothing_to_compare_with(records: Callable[..., str]) -> None:
    source = Source([records({"text": "Once upon a time."})])
    assert len(source.records) == 1
    with pytest.raises(DataError, match=r"it is a plain text: nothing is asked\. Its loss can be measured"):
        source.questions  # noqa: B018
    judged = records(
        {"prompt": "x", "completion": "y", "label": False}, {"prompt": "x", "completion": "z", "label": True}
    )
    with pytest.raises(DataError, match="marked as a bad one"):
        Source([judged]).questions  # noqa: B018
    assert [q.expected.content for q in Source([judged], on_bad="skip").questions] == ["z"]


@pytest.mark.parametrize(
    ("choices", "reason"),
    [
        ("yes", "it is not a list of texts"),
        (["yes", 1], "it is not a list of texts"),
        (["yes", "yes"], "two or more texts, no two alike"),
        (["no", "maybe"], r"the answer 'yes' is none of them \(no, maybe\)"),
        (None, "there is nothing to choose from"),
    ],
)
def test_choices_are_checked(records: Callable[..., str], choices: Any, reason: str) -> None:
    file = records(record("Is it?", "yes", choices=choices), record("Is it?", "no", choices=["yes", "no"]))
    with pytest.raises(DataError, match=f"record 0, line 1, field 'choices': .*{reason}"):
        Source([file]).multiple_choice  # noqa: B018
    assert [q.choices for q in Source([file], on_bad="skip").multiple_choice] == [("yes", "no")]
    assert len(Source([file], choices=("yes", "no")).multiple_choice) == 2


def test_a_bad_record_is_counted_once(records: Callable[..., str]) -> None:
    source = Source([records(record("a", "b"), {"messages": []})], on_bad="skip")
    assert len(source.questions) == 1
    source.refuse(source.report.bad)
    assert (len(source.report.bad), source.report.files[0].kept) == (1, 1)


def test_the_fingerprint_holds_every_text(records: Callable[..., str]) -> None:
    prints = set()
    for answer in ("b", "c"):
        source = Source([records(record("a", answer))])
        prints.add(source.fingerprint(source.questions))
    assert len(prints) == 2
