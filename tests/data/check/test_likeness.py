"""Near copies are found, other texts are not, and the estimate is about the share of common stretches."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tunesmith.data.check.likeness import ALIKE, find_alike, likeness, signatures


def made(texts: list[str]) -> NDArray[np.uint8]:
    codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32)
    owner = np.repeat(np.arange(len(texts), dtype=np.int32), [len(text) for text in texts])
    return signatures(codes, owner, len(texts))


def words(seed: int, count: int = 120) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(map(chr, random.integers(97, 123, random.integers(2, 9)))) for _ in range(count)]


def alike(texts: list[str]) -> set[tuple[int, int]]:
    return {pair for found in find_alike(made(texts)) for pair in zip(*(part.tolist() for part in found), strict=True)}


def stretches(text: str) -> set[str]:
    return {text[at : at + 5] for at in range(len(text) - 4)}


def test_equal_texts_have_equal_signatures_whatever_the_case() -> None:
    text = " ".join(words(1))
    a, b, c = made([text, text.upper(), " ".join(words(2))])
    assert likeness(a, b) == 1
    assert likeness(a, c) < 0.2


@pytest.mark.parametrize("changed", [2, 6, 20, 60])
def test_the_estimate_is_near_the_truth(changed: int) -> None:
    errors = []
    for seed in range(12):
        before, other = words(seed), words(seed + 100)
        after = [*other[:changed], *before[changed:]]
        a, b = " ".join(before), " ".join(after)
        true = len(stretches(a) & stretches(b)) / len(stretches(a) | stretches(b))
        errors.append(float(likeness(*made([a, b]))) - true)
    assert abs(np.mean(errors)) < 0.05
    assert np.max(np.abs(errors)) < 0.25


def test_near_copies_are_found_among_others() -> None:
    texts = [" ".join(words(seed)) for seed in range(300)]
    texts[250] = texts[10].replace(words(10)[5], "otherwise")
    texts[299] = texts[20] + " and an end."
    assert alike(texts) == {(250, 10), (299, 20)}


def test_chinese_near_copies_are_found() -> None:
    random = np.random.default_rng(0)
    texts = ["".join(map(chr, random.integers(0x4E00, 0x5E00, 200))) for _ in range(20)]
    texts.append(texts[3][:100] + "嗯" + texts[3][100:])
    assert alike(texts) == {(20, 3)}


def test_a_common_instruction_does_not_make_tasks_alike() -> None:
    instruction = " ".join(words(7, 100))
    tasks = [f"{instruction} {' '.join(words(1000 + number, 12))}" for number in range(60)]
    assert alike(tasks) == set()


def test_short_texts_have_no_signature() -> None:
    assert not made(["short", "short", ""]).any()
    assert alike(["short", "short"]) == alike([]) == set()


def test_pairs_are_verified() -> None:
    base = made([" ".join(words(1))])[0]
    other = base.copy()
    other[6:] += 1  # one band in common, and nothing else
    assert likeness(base, other) < ALIKE
    assert all(len(later) == 0 for later, _ in find_alike(np.stack([base, other])))
