"""Judgements: all labels are drawn, in about equal shares, and the wording is the published one."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from tunesmith.nano.text import judge


@pytest.mark.parametrize(("task", "labels", "share"), [("sentence pair", 3, 0.25), ("review", 4, 0.15)])
def test_labels_are_balanced(task: str, labels: int, share: float) -> None:
    rng = Random(task)
    counts = Counter(judge.TASKS[task][1](rng).answer for _ in range(1000))
    assert len(counts) == labels and min(counts.values()) > 1000 * share


def test_a_pair_reads_like_the_published_data() -> None:
    rng = Random(0)
    asked = [judge.pair(rng).messages[0]["content"] for _ in range(50)]
    opening = "请判断下边两个句子的关系属于 [entailment, neutral, contradiction]中的哪一种？\n句子1: "
    assert any(text.startswith(opening) and "\n句子2：" in text and text.endswith("\n") for text in asked)
    assert not any("{" in text for text in asked)


def test_the_topic_is_one_of_those_offered() -> None:
    rng = Random(0)
    assert all((sample := judge.topic(rng)).answer in sample.messages[0]["content"] for _ in range(200))


def test_tables_are_whole() -> None:
    assert all(len(row) == 7 for row in judge.PAIRS_ZH + judge.PAIRS_EN)
    assert all(len(row) == 3 for row in judge.REVIEWS_ZH + judge.REVIEWS_EN)
    assert all(len(row) == 4 for row in judge.TOPICS)
