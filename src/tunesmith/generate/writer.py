"""Writer: tokens in, the text that may be shown out. Knows where an answer ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from ..data.tokenizer import TextTokenizer

UNFINISHED = "\ufffd"
"""What a decoder writes for the first bytes of a character whose last bytes are still to come."""


@dataclass
class Writer:
    """Turns the tokens of one answer into text as they come.

    Nothing is shown that might have to be taken back: neither a part of a character (byte tokens) nor the beginning
    of a stop text. `stopped` becomes "stop" at a stop token or stop text; what follows it is no part of the answer.
    `spoken`: special tokens that are shown, id -> text (the marks of places in a picture); all others are left out.
    """

    tokenizer: TextTokenizer
    stop_ids: Sequence[int]
    stop_texts: Sequence[str] = ()
    spoken: Mapping[int, str] = field(default_factory=dict)
    text: str = ""
    tokens: int = 0
    stopped: str | None = None
    _ids: list[int] = field(default_factory=list)
    _from: int = 0  # the window that is decoded: a token's text depends on the one before it (spaces, bytes)
    _upto: int = 0
    _held: str = ""

    def push(self, token: int) -> str:
        """Take the next token and return the text that it lets appear (often none)."""
        if self.stopped:
            return ""
        self.tokens += 1
        if token in self.stop_ids:
            return self._end("stop")
        self._ids.append(token)
        new = self._undecoded()
        if not new or new.endswith(UNFINISHED):
            return ""
        self._from, self._upto = self._upto, len(self._ids)
        self._held += new
        ends = [at for stop in self.stop_texts if (at := self._held.find(stop)) >= 0]
        if ends:
            self._held = self._held[: min(ends)]
            return self._end("stop")
        return self._show(len(self._held) - self._possible_stop())

    def finish(self, reason: str = "length") -> str:
        """Return what was held back, when no more tokens come: the answer was cut at its greatest length."""
        return "" if self.stopped else self._end(reason)

    def _undecoded(self) -> str:
        before = self._decode(self._ids[self._from : self._upto])
        return self._decode(self._ids[self._from :])[len(before) :]

    def _decode(self, ids: list[int]) -> str:
        if not self.spoken:
            return self.tokenizer.decode(ids)
        return "".join(
            "".join(self.spoken[token] for token in group) if spoken else self.tokenizer.decode(list(group))
            for spoken, group in groupby(ids, key=self.spoken.__contains__)
        )

    def _end(self, reason: str) -> str:
        if self._upto < len(self._ids):  # a character that never got its last bytes is left out
            self._held += self._undecoded().rstrip(UNFINISHED)
            self._upto = len(self._ids)
        self.stopped = reason
        return self._show(len(self._held))

    def _show(self, size: int) -> str:
        shown, self._held = self._held[:size], self._held[size:]
        self.text += shown
        return shown

    def _possible_stop(self) -> int:
        """Return how many characters at the end of the held text could be the beginning of a stop text."""
        longest = max((len(stop) for stop in self.stop_texts), default=1) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-size:]) for stop in self.stop_texts):
                return size
        return 0
