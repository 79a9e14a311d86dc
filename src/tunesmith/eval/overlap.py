"""How much two texts have in common: ROUGE-1, -2 and -L, and the counts of chrF; no library is needed.

ROUGE (Lin 2004): F-measure of n-grams in common, and of the longest common subsequence. Words are runs of letters and
digits in lower case, and each Chinese, Japanese or Korean character is a word; on English text that is the `rouge-score`
library without stemming.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence

ORDER, BETA = 6, 2
"""chrF's longest n-grams, and how much more recall counts than precision. Source: Popovic 2015, as in sacrebleu."""
_EAST = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
EAST = re.compile(f"[{_EAST}]")
"""A character that is a word of its own."""
_WORDS = re.compile(rf"[{_EAST}]|[^\W_{_EAST}]+")


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case."""
    return _WORDS.findall(text.lower())


def rouge(expected: str, given: str) -> tuple[float, float, float]:
    """Return the F-measures of ROUGE-1, ROUGE-2 and ROUGE-L, each 0 to 1."""
    want, have = words(expected), words(given)
    one, two = (
        _f(sum((_grams(want, n) & _grams(have, n)).values()), max(len(want) - n + 1, 0), max(len(have) - n + 1, 0))
        for n in (1, 2)
    )
    return one, two, _f(longest_common(want, have), len(want), len(have))


def longest_common(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence, a whole row of the table at once in the bits of a number.

    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
    """
    places: dict[Hashable, int] = {}
    for number, item in enumerate(first):
        places[item] = places.get(item, 0) | 1 << number
    every = (1 << len(first)) - 1
    row = every
    for item in second:
        met = row & places.get(item, 0)
        row = ((row + met) | (row - met)) & every
    return len(first) - row.bit_count()


def chrf_counts(expected: str, given: str) -> list[int]:
    """Return for each order of n-grams those of the answer, those of the reference, and those in common.

    White space does not count. As in sacrebleu, an answer's n-grams count only where the reference has any.
    """
    want, have = "".join(expected.split()), "".join(given.split())
    found = []
    for order in range(1, ORDER + 1):
        wanted, had = _grams(want, order), _grams(have, order)
        found += [had.total() if wanted else 0, wanted.total(), (wanted & had).total()]
    return found


def chrf(sums: Sequence[float]) -> float:
    """Return chrF2, 0 to 100, of summed `chrf_counts`: precision and recall averaged over the orders that occur."""
    pairs = []
    for had, wanted, both in zip(sums[::3], sums[1::3], sums[2::3], strict=True):
        if had > 0 and wanted > 0:
            pairs.append((both / had, both / wanted))
    if not pairs:
        return 0.0
    precision, recall = (sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    below = BETA**2 * precision + recall
    return float(100 * (1 + BETA**2) * precision * recall / below) if below else 0.0


def _grams(items: Sequence[str], order: int) -> Counter[Sequence[str]]:
    parts = (items[start : start + order] for start in range(len(items) - order + 1))
    return Counter(part if isinstance(part, str) else tuple(part) for part in parts)


def _f(both: int, wanted: int, had: int) -> float:
    return 2 * both / (wanted + had) if both else 0.0
