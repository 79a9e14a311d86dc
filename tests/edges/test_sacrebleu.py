"""BLEU over summed counts is sacrebleu's own corpus score."""

from __future__ import annotations

import pytest
from sacrebleu.metrics import BLEU

from tunesmith.edges.sacrebleu import SIZE, bleu, bleu_counts

EXPECTED = ["The cat sat on the mat.", "It rains; the street is wet.", "今天下雨，路很滑。", "请转给物流部门 ASAP", "x"]
GIVEN = ["the cat is on the mat", "It rains; the street is dry.", "今天的路很滑", "转给物流", ""]


@pytest.mark.parametrize("chinese", [True, False])
@pytest.mark.parametrize("rows", [slice(None), slice(0, 2), slice(1, 2), slice(4, 5)])
def test_the_sum_of_the_counts_is_the_corpus(rows: slice, chinese: bool) -> None:
    counts = bleu_counts(GIVEN[rows], EXPECTED[rows], chinese)
    assert all(len(one) == SIZE for one in counts)
    reference = BLEU(tokenize="zh" if chinese else "13a").corpus_score(GIVEN[rows], [EXPECTED[rows]])
    assert bleu([sum(column) for column in zip(*counts, strict=True)]) == pytest.approx(reference.score)


def test_a_number_of_sacrebleu_2_6_0() -> None:
    counts = bleu_counts(["the cat is on the mat"], ["The cat sat on the mat."], chinese=False)
    assert counts == [[4, 2, 1, 0, 6, 5, 4, 3, 6, 7]]
