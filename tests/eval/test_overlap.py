"""ROUGE and chrF are those of the reference libraries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics import CHRF

from tunesmith.eval.overlap import chrf, chrf_counts, longest_common, rouge, words

# rouge-score 0.1.2, use_stemmer=False; for Chinese with `words` as its tokenizer.
ROUGE = [
    ("The cat sat on the mat.", "the cat is on the mat", 0.833333333333, 0.6, 0.833333333333),
    (
        "It rains; the street is wet, and nobody is outside.",
        "Nobody is outside: it rains.",
        0.666666666667,
        0.461538461538,
        0.4,
    ),
    ("one two three four", "four three two one", 1.0, 0.0, 0.25),
    ("Order 66 was sent", "No order was sent", 0.75, 0.333333333333, 0.75),
    ("alone", "nothing alike here", 0.0, 0.0, 0.0),
    ("same words, same words", "same words same", 0.857142857143, 0.8, 0.857142857143),
    ("今天下雨，路很滑。", "今天的路很滑", 0.769230769231, 0.545454545455, 0.769230769231),
    ("请转给物流部门 ASAP", "转给物流", 0.666666666667, 0.6, 0.666666666667),
]


@pytest.mark.parametrize(("expected", "answer", "one", "two", "longest"), ROUGE)
def test_rouge_is_that_of_rouge_score(expected: str, answer: str, one: float, two: float, longest: float) -> None:
    assert rouge(expected, answer) == pytest.approx((one, two, longest), abs=1e-11)


def test_chinese_characters_are_words_and_other_letters_are_kept() -> None:
    assert words("Été 2024：我们用GPU。カナ 한국") == ["été", "2024", "我", "们", "用", "gpu", "カ", "ナ", "한", "국"]
    assert words("snake_case") == ["snake", "case"]


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_the_longest_common_subsequence_is_the_textbooks(first: str, second: str) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert longest_common(first, second) == table[-1][-1]


TEXTS = st.text("ab 你好.", max_size=20)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_chrf_is_that_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    counts = [chrf_counts(expected, answer) for expected, answer in pairs]
    own = chrf([sum(column) for column in zip(*counts, strict=True)])
    reference = CHRF().corpus_score([answer for _, answer in pairs], [[expected for expected, _ in pairs]])
    assert own == pytest.approx(reference.score, abs=1e-9)


def test_chrf_of_sacrebleu_2_6_0() -> None:
    pairs = [(expected, answer) for expected, answer, *_ in ROUGE] + [("x", "")]
    counts = [chrf_counts(*pair) for pair in pairs]
    assert chrf([sum(column) for column in zip(*counts, strict=True)]) == pytest.approx(43.14244116875634)
