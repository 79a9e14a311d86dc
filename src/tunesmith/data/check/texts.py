"""The texts of a block of records as one array of characters, and what kind of character each is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from ..types import Conversation

SHOWN = 5
"""How many places of a finding are named; the rest are counted."""

OTHER, HAN, KANA, HANGUL, LATIN, CYRILLIC, GREEK, ARABIC, HEBREW, INDIC, THAI = range(11)
SPACE, RETURN, CONTROL, INVISIBLE, BROKEN, PRIVATE = range(16, 22)
SCRIPTS = 11
"""How many classes are scripts (OTHER, digits and signs, among them)."""

QUESTION, ANSWER, SYSTEM, TOOL, REJECTED = range(5)
ROLE_NAMES = ("question", "answer", "system text", "tool message", "rejected answer")
_ROLES = {"user": QUESTION, "assistant": ANSWER, "system": SYSTEM, "tool": TOOL}

_RANGES = (
    (HAN, "3005-3005 3007-3007 3400-4DBF 4E00-9FFF F900-FAFF 20000-3FFFF"),
    (KANA, "3041-30FF 31F0-31FF FF66-FF9D"),
    (HANGUL, "1100-11FF 3131-318E AC00-D7AF"),
    (LATIN, "41-5A 61-7A C0-D6 D8-F6 F8-24F 1E00-1EFF"),
    (CYRILLIC, "400-52F"),
    (GREEK, "370-3FF 1F00-1FFF"),
    (ARABIC, "600-6FF 750-77F FB50-FDFF"),
    (HEBREW, "590-5FF"),
    (INDIC, "900-DFF"),
    (THAI, "E00-E7F"),
    (SPACE, "9-A 20-20 A0-A0 2000-200A 2028-2029 202F-202F 205F-205F 3000-3000"),
    (RETURN, "D-D"),
    (CONTROL, "0-8 B-C E-1F 7F-9F"),
    (INVISIBLE, "AD-AD 180E-180E 200B-200B 200E-200F 202A-202E 2060-2064 2066-2069 FEFF-FEFF E0000-E007F"),
    (BROKEN, "D800-DFFF FFFD-FFFF"),
    (PRIVATE, "E000-F8FF E1FFF-E1FFF"),
)
_LAST = 0xE1FFF
"""Characters above (private ones) are looked up here."""


@lru_cache(1)
def _table() -> NDArray[np.uint8]:
    table = np.zeros(_LAST + 1, np.uint8)
    for number, ranges in _RANGES:
        for one in ranges.split():
            first, last = (int(end, 16) for end in one.split("-"))
            table[first : last + 1] = number
    return table


@dataclass(frozen=True)
class Texts:
    """The texts of some conversations, joined by line breaks.

    One entry a text: `starts` and `lengths` in characters, `record` the conversation's number, `role` one of QUESTION
    to REJECTED. A plain text counts as an answer.
    """

    joined: str
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    record: NDArray[np.int64]
    role: NDArray[np.uint8]

    @classmethod
    def of(cls, conversations: Sequence[Conversation]) -> Texts:
        """Gather the texts of conversations."""
        texts: list[str] = []
        record: list[int] = []
        role: list[int] = []
        for number, conversation in enumerate(conversations):
            for message in conversation.messages:
                texts.append(message.content)
                role.append(_ROLES.get(message.role, TOOL))
            if conversation.text is not None:
                texts.append(conversation.text)
                role.append(ANSWER)
            if conversation.rejected is not None:
                texts.append(conversation.rejected.content)
                role.append(REJECTED)
            record += [number] * (len(texts) - len(record))
        lengths = np.array([len(text) for text in texts], np.int64)
        starts = np.cumsum(lengths + 1) - lengths - 1
        return cls("\n".join(texts), starts, lengths, np.array(record, np.int64), np.array(role, np.uint8))

    @cached_property
    def codes(self) -> NDArray[np.uint32]:
        """The code point of each character."""
        return np.frombuffer(self.joined.encode("utf-32-le", "surrogatepass"), np.uint32)

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """The class of each character."""
        classes: NDArray[np.uint8] = _table().take(self.codes, mode="clip")
        return classes

    @cached_property
    def owner(self) -> NDArray[np.int32]:
        """The number of the text that each character belongs to; a line break between two belongs to the first."""
        owner = np.repeat(np.arange(len(self.starts), dtype=np.int32), self.lengths + 1)
        return owner[: len(self.codes)]

    @cached_property
    def scripts(self) -> NDArray[np.int64]:
        """How many characters of each script each text has: (texts, SCRIPTS)."""
        keys = self.owner * np.int32(16)
        keys += np.minimum(self.classes, 15)
        counts = np.bincount(keys, minlength=16 * len(self.starts)).reshape(-1, 16)
        return counts[:, :SCRIPTS]

    def text(self, number: int) -> str:
        """Return text number `number`."""
        start = int(self.starts[number])
        return self.joined[start : start + int(self.lengths[number])]

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers of the texts that hold these positions."""
        return np.searchsorted(self.starts, positions, side="right") - 1

    def around(self, position: int, size: int) -> str:
        """Return `size` characters with what stands around them in their text, for a message."""
        number = int(self.at(np.array([position]))[0])
        start, end = int(self.starts[number]), int(self.starts[number] + self.lengths[number])
        before, after = max(position - 10, start), min(position + size + 16, end)
        shown = printable(self.joined[before:after], 80)
        return f"{'…' * (before > start)}{shown}{'…' * (after < end)}"

    def hits(self, positions: NDArray[np.int64], describe: Callable[[int], str]) -> Hits:
        """Return what is found at `positions` (ascending); `describe` says what stands at a position."""
        if not len(positions):
            return Hits()
        texts = self.at(positions)
        records, first = np.unique(self.record[texts], return_index=True)
        places = [
            (int(record), f"{ROLE_NAMES[self.role[texts[index]]]}: {describe(int(positions[index]))}")
            for record, index in zip(records[:SHOWN], first[:SHOWN], strict=True)
        ]
        return Hits(len(records), len(positions), places)


@dataclass
class Hits:
    """In how many records something is found, how often, and where first: (number of the conversation, what)."""

    records: int = 0
    times: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)


LANGUAGES = (
    "no letters", "Chinese", "Japanese", "Korean", "Latin script", "Cyrillic script", "Greek", "Arabic script",
    "Hebrew", "Indic script", "Thai",
)  # fmt: skip
_WEIGHTS = np.array([0, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1])
"""A character of these scripts says about as much as so many letters."""


def languages(scripts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number in LANGUAGES of each row of script counts: the script that most of the text is written in."""
    weighed = scripts * _WEIGHTS
    japanese = scripts[:, KANA] * 10 > scripts[:, HAN]
    weighed[:, KANA] = np.where(japanese & (scripts[:, KANA] > 0), weighed[:, KANA] + weighed[:, HAN], 0)
    chosen: NDArray[np.int64] = weighed.argmax(axis=1)
    return chosen


def printable(text: str, size: int = 40) -> str:
    """Return a text for a message: short, on one line, with what cannot be seen spelt out."""
    table = _table()
    shown = [
        c if c == " " or table[min(ord(c), _LAST)] < SPACE else f"\\u{ord(c):04x}" if ord(c) > 127 else repr(c)[1:-1]
        for c in text[: size + 1]
    ]
    return "".join(shown[:size]) + ("…" if len(shown) > size else "")


def counted(number: int, what: str) -> str:
    """Return "1 record", "2 records"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def share(part: int, whole: int) -> str:
    """Return a share in percent, never rounded to none or all."""
    percent = 100 * part / whole if whole else 0
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %" if percent % 1 else f"{percent:.0f} %"
