"""What should not stand in a text: remnants of other programs, gaps that were never filled, marks of templates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from .texts import ANSWER, Hits, Texts

KNOWN_MARKS = (
    "<用户>", "<AI>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|start_header_id|>", "[INST]",
    "[/INST]", "</s>", "<|user|>", "<|assistant|>", "<start_of_turn>", "<end_of_turn>", "<|begin_of_text|>",
)  # fmt: skip
"""Marks of well-known templates."""
_MISREAD = ("锟斤拷", "烫烫烫", "屯屯屯", "銆", "锛", "ï»¿", "ï¿½", "â€™", "â€œ", "â€“", "â€”", "â€¦")
"""Typical for UTF-8 read as something else, or something else read as UTF-8."""
_HTML = ("&nbsp;", "&amp;", "&lt;", "&gt;", "&quot;", "&#39;", "<br", "</p>", "</div>", "</span>", "</a>", "</td>")
_IS_CODE = ("```", "<html", "<!DOCTYPE", "<!doctype", "<body", "<script")
_OTHERS = (
    "s an AI language model", "I am ChatGPT", "I'm ChatGPT", "developed by OpenAI", "trained by OpenAI",
    "created by OpenAI", "我是ChatGPT", "由OpenAI", "作为一个AI语言模型", "作为AI语言模型", "作为一个人工智能语言模型",
)  # fmt: skip
_UNFILLED = ("[Your ", "[your ", "[Insert ", "[insert ", "orem ipsum", "待补充", "待填写", "此处填写", "请填写")
_DOUBLE = re.compile(r"\{\{\s*\w[\w.\- ]{0,40}\}\}")
_SINGLE = re.compile(r"(?<![A-Za-z0-9_\\}\]$^_{\"'%(])\{[a-z]+(?:_[a-z]+)*\}(?![A-Za-z0-9_{}\"'])")
_PROGRAM = ("```", "\\", "print", "def ", "return", "format(", "{{", ";\n")
"""Texts with these may hold braces in their own right."""


def find_all(text: str, needles: Iterable[str]) -> list[tuple[int, str]]:
    """Return where each of the needles stands, with the needle, in the order of the places.

    Of needles that begin alike, the longest counts. Those that begin with a rare sign are looked for together.
    """
    found: list[tuple[int, str]] = []
    groups: dict[str, list[str]] = {}
    for needle in sorted(needles, key=len, reverse=True):
        if needle[0].isalnum():
            found += [(at, needle) for at in places(text, needle)]
        else:
            groups.setdefault(needle[0], []).append(needle)
    for sign, group in groups.items():
        any_of = tuple(group)
        for at in places(text, sign):
            if text.startswith(any_of, at):
                found.append((at, next(needle for needle in group if text.startswith(needle, at))))
    return sorted(found)


def places(text: str, part: str) -> Iterator[int]:
    """Yield where a part of a text stands."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + len(part))


def phrase_hits(texts: Texts, marks: tuple[str, ...]) -> dict[str, Hits]:
    """Return what is found of each kind; `marks` are those of the model's own template."""
    joined = texts.joined
    foreign = tuple(mark for mark in KNOWN_MARKS if mark not in marks)
    code = texts.at(np.array([at for at, _ in find_all(joined, _IS_CODE)], np.int64))
    return {
        "template_marks": _hits(texts, find_all(joined, marks)),
        "foreign_marks": _hits(texts, find_all(joined, foreign)),
        "misread_text": _hits(texts, sorted([*find_all(joined, _MISREAD), *_misread_pairs(texts)])),
        "unfilled_slots": _hits(texts, _slots(texts)),
        "html": _hits(texts, find_all(joined, _HTML), without=code),
        "other_assistant": _hits(texts, find_all(joined, _OTHERS), roles=(ANSWER,)),
    }


def _hits(
    texts: Texts,
    found: list[tuple[int, str]],
    without: NDArray[np.int64] | None = None,
    roles: tuple[int, ...] = (),
) -> Hits:
    if not found:
        return Hits()
    positions = np.array([at for at, _ in found], np.int64)
    wanted = np.ones(len(found), bool)
    if without is not None:
        wanted &= ~np.isin(texts.at(positions), without)
    if roles:
        wanted &= np.isin(texts.role[texts.at(positions)], roles)
    shown = dict(found)
    return texts.hits(positions[wanted], lambda at: texts.around(at, len(shown[at])))


def _misread_pairs(texts: Texts) -> list[tuple[int, str]]:
    """Return pairs like Ã©: two bytes of UTF-8 read as two letters."""
    codes = texts.codes
    at = np.flatnonzero((codes[:-1] == 0xC3) | (codes[:-1] == 0xC2)) if len(codes) else np.zeros(0, np.int64)
    after = codes[at + 1]
    return [(int(one), texts.joined[one : one + 2]) for one in at[(after >= 0xA0) & (after <= 0xBF)]]


def _slots(texts: Texts) -> list[tuple[int, str]]:
    """Return gaps like {{name}}, {name} and [Your name] that nobody has filled in."""
    joined = texts.joined
    found = find_all(joined, _UNFILLED)
    if "{{" in joined:
        found += [(match.start(), match.group()) for match in _DOUBLE.finditer(joined)]
    matches = (_SINGLE.match(joined, at) for at in places(joined, "{"))
    single = [(match.start(), match.group()) for match in matches if match is not None]
    if single:
        numbers = texts.at(np.array([at for at, _ in single], np.int64))
        program = {number: any(sign in texts.text(number) for sign in _PROGRAM) for number in set(numbers.tolist())}
        found += [one for one, number in zip(single, numbers.tolist(), strict=True) if not program[number]]
    return sorted(found)
