"""Words: every text of the page is there in both languages, with the same places for values."""

from __future__ import annotations

import re

import pytest

from tunesmith.data.show.rows import KINDS
from tunesmith.data.show.words import KIND_NAMES, KIND_TEXTS, WORDS, both, say

TEXTS = {**WORDS, **{f"kind {k}": v for k, v in KIND_NAMES.items()}, **{f"means {k}": v for k, v in KIND_TEXTS.items()}}


@pytest.mark.parametrize("name", TEXTS)
def test_both_languages_take_the_same_values(name: str) -> None:
    english, chinese = TEXTS[name]
    assert english and chinese and english.isascii() or name == "none"
    assert set(re.findall(r"{\d}", english)) >= set(re.findall(r"{\d}", chinese))


def test_every_kind_has_words() -> None:
    assert set(KIND_NAMES) == set(KIND_TEXTS) == set(KINDS)


def test_values_are_escaped() -> None:
    assert "<script>" not in say("refused", 1, "<script>")
    assert both(("x", "x")) == "x"
    assert both(("a", "甲")) == '<span class="en" lang="en">a</span><span class="zh" lang="zh-CN">甲</span>'
