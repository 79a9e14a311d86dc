"""Sample: one generated conversation, with what is needed to keep some of them for measuring."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

Turn = dict[str, str]
"""{"role": ..., "content": ...}, the published shape."""

HELD_SHARE = 20
"""One key in this many is never trained on."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One conversation of `task`; `key` names what must not be both trained on and measured ("" = a closed set)."""

    task: str
    messages: list[Turn]
    key: str = ""

    @property
    def held_out(self) -> bool:
        """Whether this sample is kept for measuring: a fixed property of its key."""
        return bool(self.key) and zlib.crc32(self.key.encode()) % HELD_SHARE == 0

    @property
    def answer(self) -> str:
        """The last answer of the conversation."""
        return self.messages[-1]["content"]


Task = Callable[[Random], Sample]
"""Draws one sample; the same generator state gives the same sample."""


def ask(task: str, question: str, answer: str, key: str = "") -> Sample:
    """Return a sample of one question and its answer."""
    return Sample(task, turns(question, answer), key)


def turns(*texts: str) -> list[Turn]:
    """Return user and assistant turns in alternation, the user first."""
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


def other(rng: Random, choices: Sequence[str], *taken: str) -> str:
    """Draw one of `choices` that is not `taken`."""
    return rng.choice([choice for choice in choices if choice not in taken])


def table(text: str) -> list[list[str]]:
    """Read one row a line, fields separated by `|`; lines further in by eight blanks go on with the one before."""
    joined = re.sub(r"\n {8,}", "", text.strip())
    return [[field.strip() for field in line.split("|")] for line in joined.splitlines()]


def words(text: str) -> list[str]:
    """Read one entry a line or, where there are none, separated by white space."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return lines if len(lines) > 1 else lines[0].split()
