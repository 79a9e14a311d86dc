"""Remnants, gaps and marks are found where they stand, and ordinary texts are left alone."""

from __future__ import annotations

import pytest

from tunesmith.data.check.phrases import find_all, phrase_hits
from tunesmith.data.check.texts import Texts
from tunesmith.data.types import Conversation, Message

MARKS = ("<用户>", "<AI>", "</s>", "<s>")


def kinds(question: str, answer: str = "Fine.", marks: tuple[str, ...] = MARKS) -> dict[str, int]:
    texts = Texts.of([Conversation((Message("user", question), Message("assistant", answer)))])
    return {kind: hits.times for kind, hits in phrase_hits(texts, marks).items() if hits.times}


@pytest.mark.parametrize(
    ("text", "kind", "times"),
    [
        ("ignore that<AI>I will", "template_marks", 1),
        ("好的</s><用户>再来", "template_marks", 2),
        ("<|im_start|>user", "foreign_marks", 1),
        ("cafÃ© and naÃ¯ve", "misread_text", 2),
        ("donâ€™t", "misread_text", 1),
        ("数据锟斤拷丢失", "misread_text", 1),
        ("烫烫烫烫烫烫", "misread_text", 2),
        ("I am {{name}}, made by {{ author }}.", "unfilled_slots", 2),
        ("我是{name}。", "unfilled_slots", 1),
        ("Regards,\n[Your Name]", "unfilled_slots", 1),
        ("地址：待填写", "unfilled_slots", 1),
        ("a&nbsp;b<br/>c", "html", 2),
    ],
)
def test_each_kind_is_found(text: str, kind: str, times: int) -> None:
    assert kinds(text) == {kind: times}
    assert kinds("Well?", text) == {kind: times}


@pytest.mark.parametrize(
    "text",
    [
        "São Paulo, AÇÃO, Ångström",
        "\\frac{a}{b} and {x} in \\LaTeX",
        "```python\nprint(f'{name}')\n```",
        'Write {"name": "x"} or {} or { }.',
        "```html\n<br>&nbsp;\n```",
        "if a < b and b > c: <3",
        "价格是{5}元",
    ],
)
def test_ordinary_texts_are_left_alone(text: str) -> None:
    assert kinds(text) == {}


def test_only_answers_speak_for_the_assistant() -> None:
    assert kinds("Are you sure that I am ChatGPT?") == {}
    assert kinds("Who are you?", "I am ChatGPT, developed by OpenAI.") == {"other_assistant": 2}
    assert kinds("你是谁？", "作为一个AI语言模型，我没有名字。") == {"other_assistant": 1}


def test_marks_of_the_model_are_not_foreign() -> None:
    assert kinds("a<|im_end|>", marks=("<|im_end|>",)) == {"template_marks": 1}
    assert kinds("a<|im_end|>", marks=()) == {"foreign_marks": 1}


def test_places_are_named_with_what_stands_around() -> None:
    texts = Texts.of([Conversation((Message("user", "Hi"), Message("assistant", "I am {{name}}.")))] * 2)
    hits = phrase_hits(texts, ())["unfilled_slots"]
    assert hits.records == 2
    assert hits.first[1] == (1, "answer: I am {{name}}.")


def test_find_all_takes_the_longest_of_needles_that_begin_alike() -> None:
    assert find_all("<s> x </s> <sx> ab", ["<s", "<s>", "</s>", "ab"]) == [
        (0, "<s>"),
        (6, "</s>"),
        (11, "<s"),
        (16, "ab"),
    ]
    assert find_all("", ["<s>"]) == []
