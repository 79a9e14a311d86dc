"""The rows of a block as tokens: lengths, what is cut, what the vocabulary lacks."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..tokenizer import TextTokenizer
from ..types import IGNORE, Conversation, Example
from .texts import SHOWN, Hits, printable

STEP = 64
"""The label tokens are counted in stretches of so many places of a row."""
MANY_BYTES = 0.2
"""A record of which more of the tokens are bytes is in a writing that the vocabulary lacks."""


@dataclass
class Tokens:
    """What the rows of a block are as tokens. Records that are not learned from are left out.

    `lengths`: of each row that may be cut. `places`: label tokens in each STEP of a row's places. `plain_tokens` and
    `plain_labels`: of plain texts, which are cut into rows and lose nothing.
    `byte_tokens`: bytes of characters that the vocabulary lacks. `out`: (record, line, tokens) of the
    records of which `max_length` leaves nothing to learn from.
    """

    lengths: NDArray[np.int32]
    places: NDArray[np.int64]
    plain_tokens: int = 0
    plain_labels: int = 0
    byte_tokens: int = 0
    out: list[tuple[int, int | None, int]] = field(default_factory=list)
    torn: list[tuple[int, int | None, int]] = field(default_factory=list)


@dataclass(frozen=True)
class _Flat:
    """The learned rows of a block as flat arrays; `owner` and `size`: conversation and length of each row.

    `seen`: whether a token is the slot of a picture. `pictured`: where the last picture of each row ends, 0 for none.
    """

    ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    size: NDArray[np.int64]
    owner: NDArray[np.int64]
    seen: NDArray[np.bool_]
    pictured: NDArray[np.int64]

    @classmethod
    def of(cls, conversations: Sequence[Conversation], rows: Sequence[Sequence[Example]]) -> _Flat:
        ids, labels, sizes, owners = array("i"), array("i"), array("q"), array("q")
        slots: list[tuple[int, int]] = []
        pictured = array("q")
        for number, (conversation, own) in enumerate(zip(conversations, rows, strict=True)):
            if conversation.liked is not False:
                for row in own:
                    for picture in row.pictures:
                        slots += [(len(ids) + first, len(ids) + last) for first, last in picture.slots]
                    pictured.append(max((picture.slots[-1][1] + 1 for picture in row.pictures), default=0))
                    ids.fromlist(row.input_ids)
                    labels.fromlist(row.labels)
                    sizes.append(len(row.input_ids))
                    owners.append(number)
        seen = np.zeros(len(ids), bool)
        for first, last in slots:
            seen[first:last] = True
        flat = np.array(ids, np.int32), np.array(labels, np.int32)
        return cls(*flat, np.array(sizes, np.int64), np.array(owners, np.int64), seen, np.array(pictured, np.int64))

    def sums(self, flags: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return for each row how many of its tokens have the flag."""
        total = np.concatenate([[0], np.cumsum(flags)])
        ends = np.cumsum(self.size)
        counts: NDArray[np.int64] = total[ends] - total[ends - self.size]
        return counts


@dataclass
class TokenProbe:
    """Measures rows, which are rendered whole, against `max_length`."""

    tokenizer: TextTokenizer
    max_length: int
    _bytes: NDArray[np.bool_] | None = field(default=None, repr=False)

    def measure(
        self, conversations: Sequence[Conversation], rows: Sequence[Sequence[Example]]
    ) -> tuple[Tokens, dict[str, Hits]]:
        """Return the figures of a block, and what is wrong in it."""
        flat = _Flat.of(conversations, rows)
        size, owner = flat.size, flat.owner
        place = np.arange(len(flat.ids)) - np.repeat(np.cumsum(size) - size, size)
        plain = np.array([conversation.text is not None for conversation in conversations], bool)[owner]
        learned = flat.labels != IGNORE
        answers = learned & ~np.repeat(plain, size)
        places = place[answers]
        lost = flat.sums(answers & (place >= self.max_length))
        gone = (lost > 0) & (lost == flat.sums(answers))
        torn = flat.pictured > self.max_length
        cut = np.flatnonzero((lost > 0) & ~gone & ~torn)  # where all is gone, the record is a bad one
        first = [(int(owner[n]), f"{size[n]:,} tokens, {lost[n]:,} learned ones are cut") for n in cut[:SHOWN]]
        spelt = flat.sums(self._byte_tokens().take(flat.ids, mode="clip"))
        tokens = Tokens(
            lengths=size[~plain].astype(np.int32),
            places=np.bincount(places // STEP),
            plain_tokens=int(size[plain].sum()),
            plain_labels=int(learned.sum()) - len(places),
            byte_tokens=int(spelt.sum()),
            out=[_place(conversations[owner[n]], int(owner[n]), int(size[n])) for n in np.flatnonzero(gone & ~torn)],
            torn=[_place(conversations[owner[n]], int(owner[n]), int(size[n])) for n in np.flatnonzero(torn)],
        )
        hits = {"cut_answers": Hits(len(cut), int(lost[cut].sum()), first)}
        hits["unknown_tokens"] = self._unknown(flat, conversations)
        hits["spelt_in_bytes"] = _spelt(flat, spelt)
        return tokens, hits

    def _unknown(self, flat: _Flat, conversations: Sequence[Conversation]) -> Hits:
        """Return the records with <unk>, and the characters that cause it."""
        unknown = self.tokenizer.unk_id
        if unknown is None or unknown in (self.tokenizer.bos_id, self.tokenizer.eos_id):
            return Hits()  # a byte-level vocabulary lacks nothing, and some give its <unk> another task
        counts = flat.sums((flat.ids == unknown) & ~flat.seen)
        records = np.unique(flat.owner[counts > 0])
        first = []
        for number in records[:SHOWN].tolist():
            lacking = "".join(filter(self._is_unknown, dict.fromkeys(_text(conversations[number]))))
            first.append((number, f"<unk> for {printable(lacking)}" if lacking else "<unk>"))
        return Hits(len(records), int(counts.sum()), first)

    def _is_unknown(self, character: str) -> bool:
        return self.tokenizer.unk_id in self.tokenizer.encode(character)

    def _byte_tokens(self) -> NDArray[np.bool_]:
        """Return for each token whether it is a byte of a character beyond ASCII; the last entry is for all later ones."""
        if self._bytes is None:
            found = [self.tokenizer.id(f"<0x{byte:02X}>") for byte in range(0x80, 0x100)]
            numbers = [number for number in found if number is not None]
            self._bytes = np.zeros(max(numbers, default=0) + 2, bool)
            self._bytes[numbers] = True
        return self._bytes


def _spelt(flat: _Flat, spelt: NDArray[np.int64]) -> Hits:
    """Return the records of which many tokens are bytes."""
    rows = np.flatnonzero(spelt > MANY_BYTES * flat.size)
    first = [(int(flat.owner[n]), f"{spelt[n]:,} of {flat.size[n]:,} tokens are bytes") for n in rows[:SHOWN]]
    return Hits(len(np.unique(flat.owner[rows])), int(spelt[rows].sum()), first)


def _place(conversation: Conversation, number: int, tokens: int) -> tuple[int, int | None, int]:
    origin = conversation.origin
    return (origin.record, origin.line, tokens) if origin else (number, None, tokens)


def _text(conversation: Conversation) -> str:
    return "".join(message.content for message in conversation.messages) + (conversation.text or "")
