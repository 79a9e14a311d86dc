"""AdvertiseGen: the published system text, and every fault named with its field."""

from __future__ import annotations

from typing import Any

import pytest

from tunesmith.data.formats.advertisegen import matches, parse
from tunesmith.data.types import Message, Origin
from tunesmith.errors import RecordError

ORIGIN = Origin("x.jsonl", 2, 3)
GOODS = {"content": "类型#帽子*颜色#蓝色", "summary": " 一顶蓝色的帽子。"}


def test_the_published_system_text() -> None:
    assert parse(GOODS, ORIGIN).messages == (
        Message("system", "你是一个广告生成助手，你的任务是根据用户提供的产品信息和广告类型，生成相应的广告文案。"),
        Message("user", "类型#帽子*颜色#蓝色"),
        Message("assistant", " 一顶蓝色的帽子。"),
    )


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"content": ...}, "content", "it is missing: a record without a question"),
        ({"summary": ..., "sumary": "a"}, "sumary", "Rename it to 'summary'"),
        ({"summary": None}, "summary", "it is null: a record without an answer"),
        ({"summary": " "}, "summary", "it is blank"),
        ({"content": 3}, "content", "it is a number"),
        ({"image": "a.jpg"}, "image", "it holds pictures"),
        ({"label": True}, "label", "preference data"),
    ],
)
def test_faults_are_named(change: dict[str, Any], field: str, words: str) -> None:
    record = {name: value for name, value in {**GOODS, **change}.items() if value is not ...}
    with pytest.raises(RecordError) as caught:
        parse(record, ORIGIN)
    assert (caught.value.origin, caught.value.field) == (ORIGIN, field)
    assert words in str(caught.value)


def test_matches() -> None:
    assert matches(GOODS) and matches({"contents": "a", "summary": "b"})
    assert not any(map(matches, ({"content": "a"}, {"role": "user", "content": "a"}, {}, [], None)))
