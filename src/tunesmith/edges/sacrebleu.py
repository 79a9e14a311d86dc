"""sacrebleu: the counts of BLEU for each pair of texts, and the score of their sums."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import MachineError

SIZE = 10
"""Numbers of a pair: n-grams in common and in all (1 to 4 words), and the words of both texts."""


def bleu_counts(given: Sequence[str], expected: Sequence[str], chinese: bool) -> list[list[int]]:
    """Return the counts of each answer beside its reference; `chinese`: each Chinese character is a word (`zh`).

    Raises:
        MachineError: sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise MachineError(
            "BLEU needs sacrebleu, which is not installed. Run: pip install 'tunesmith[eval]'. All other metrics come "
            "without it."
        ) from None
    metric = BLEU(tokenize="zh" if chinese else "13a", effective_order=True)
    found = []
    for answer, reference in zip(given, expected, strict=True):
        score = metric.sentence_score(answer, [reference])
        found.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return found


def bleu(sums: Sequence[float]) -> float:
    """Return corpus BLEU, 0 to 100, of summed counts, with sacrebleu's default smoothing."""
    from sacrebleu.metrics.bleu import BLEU

    numbers = [int(number) for number in sums]
    score = BLEU.compute_bleu(numbers[:4], numbers[4:8], numbers[8], numbers[9], smooth_method="exp")
    return float(score.score)
