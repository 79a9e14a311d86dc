"""How answers behave, whatever is right: do they repeat themselves, and are they in the script that is expected?"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ..eval.measure import Measure, mean_of, stack
from ..eval.overlap import EAST, words

GRAM = 4


def repeated(text: str) -> tuple[int, int]:
    """Return how many of a text's 4-grams have come before in it, and how many there are.

    The share is 1 - (different 4-grams / all 4-grams): seq-rep-4 of Welleck et al. 2020. Words as in ROUGE: runs of
    letters and digits, and each Chinese, Japanese or Korean character.
    """
    found = words(text)
    grams = [tuple(found[start : start + GRAM]) for start in range(len(found) - GRAM + 1)]
    return len(grams) - len(set(grams)), len(grams)


def script(text: str) -> str | None:
    """Return the script of most words of a text ("EAST" for Chinese, Japanese, Korean; "LATIN" ...); None without letters."""
    counted = Counter(
        "EAST" if EAST.match(word) else unicodedata.name(word[0], "UNKNOWN").split()[0]
        for word in words(unicodedata.normalize("NFKC", text))
        if word[0].isalpha()
    )
    return counted.most_common(1)[0][0] if counted else None


def switched(expected: str, answer: str) -> bool | None:
    """Tell whether an answer is in another script than the expected one; None where one of both has no letters."""
    wanted, given = script(expected), script(answer)
    return None if wanted is None or given is None else wanted != given


def measures(rows: Sequence[dict[str, Any]], results: Sequence[dict[str, Any]]) -> list[Measure]:
    """Return the measures of one model's answers; `rows` hold what is expected, `results` what it answered."""
    pairs = [(row["expected"], result["answer"]) for row, result in zip(rows, results, strict=True)]
    return [
        Measure(
            "repeated",
            stack((repeated(answer) for _, answer in pairs), 2),
            percent=True,
            about="of all 4-grams of words in the answers, those that have come before in the same answer",
        ),
        Measure(
            "switched",
            mean_of([switched(expected, answer) for expected, answer in pairs]),
            yes_no=True,
            percent=True,
            about="most words of the answer are in another script than those of the expected one",
        ),
    ]
