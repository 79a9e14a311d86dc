"""Token ids -> the text they stand for, so that a character spread over several tokens is shown once, with its tokens.

What a token stands for is bytes, and a character may take several of them: byte-fallback tokens (`<0xF0>`) hold one
byte each, tokens of byte-level vocabularies any number. The tokens of an unfinished character belong together.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..tokenizer import SPACE, TextTokenizer

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True, slots=True)
class Glyph:
    """Tokens `start` to `end` (not included) and their text.

    `broken`: the bytes are no whole characters, and `text` names them instead: `<F0 9F>`.
    """

    start: int
    end: int
    text: str
    broken: bool = False


@dataclass
class Pieces:
    """The vocabulary of a tokenizer, as bytes."""

    tokenizer: TextTokenizer
    _known: dict[int, bytes] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Read from the decoder how the vocabulary spells bytes and spaces."""
        steps = decoder_steps(self.tokenizer)
        kinds = {step.get("type") for step in steps}
        self._byte_level, self._fallback = "ByteLevel" in kinds, "ByteFallback" in kinds
        marks = {step["content"] for step in steps if step.get("type") == "Replace" and step.get("content") == " "}
        self._spaces = bool(marks) or "Metaspace" in kinds
        added = self.tokenizer.backend.get_added_tokens_decoder()
        self.specials = frozenset(number for number, token in added.items() if token.special)

    def name(self, number: int) -> str:
        """Return a token as the vocabulary spells it."""
        return self.tokenizer.backend.id_to_token(number) or f"<id {number}>"

    def raw(self, number: int) -> bytes:
        """Return the bytes that a token stands for."""
        if number not in self._known:
            self._known[number] = self._spell(number)
        return self._known[number]

    def _spell(self, number: int) -> bytes:
        if number in self.tokenizer.added:
            return self.tokenizer.added[number].encode("utf-8", "replace")
        name = self.name(number)
        if self._byte_level and all(character in BYTE_ALPHABET for character in name):
            return bytes(BYTE_ALPHABET[character] for character in name)
        if self._fallback and (match := _BYTE.fullmatch(name)):
            return bytes.fromhex(match[1])
        return (name.replace(SPACE, " ") if self._spaces else name).encode("utf-8", "replace")

    def glyphs(self, ids: Sequence[int], cuts: Sequence[int] = ()) -> list[Glyph]:
        """Return the ids as texts; no text reaches over a position in `cuts`, even within a character."""
        bounds = {*cuts, len(ids)}
        found: list[Glyph] = []
        start, held = 0, b""
        for position, number in enumerate(ids):
            held += self.raw(number)
            while start <= position:
                end, text = position + 1, _whole(held)
                if text is not None:
                    found.append(Glyph(start, end, text))
                elif _may_go_on(held):
                    if end not in bounds:
                        break  # the next token brings the rest of the character
                    found.append(self._bytes(ids, start, end))
                else:
                    end = self._sound(ids, start + 1, end)
                    found.append(self._bytes(ids, start, end))
                start, held = end, self._join(ids, end, position + 1)
        return found

    def _sound(self, ids: Sequence[int], start: int, end: int) -> int:
        """Return from where on the tokens before `end` make characters, or begin one; `end` if nowhere."""
        rests = ((middle, self._join(ids, middle, end)) for middle in range(start, end))
        return next((middle for middle, rest in rests if _whole(rest) is not None or _may_go_on(rest)), end)

    def _join(self, ids: Sequence[int], start: int, end: int) -> bytes:
        return b"".join(self.raw(number) for number in ids[start:end])

    def _bytes(self, ids: Sequence[int], start: int, end: int) -> Glyph:
        return Glyph(start, end, f"<{self._join(ids, start, end).hex(' ').upper()}>", broken=True)


def decoder_steps(tokenizer: TextTokenizer) -> list[dict[str, Any]]:
    """Return the steps of a tokenizer's decoder, as its JSON describes them."""
    decoder = tokenizer.backend.decoder
    if decoder is None:
        return []
    content = json.loads(decoder.__getstate__())
    steps: list[dict[str, Any]] = content["decoders"] if content.get("type") == "Sequence" else [content]
    return steps


def _byte_alphabet() -> dict[str, int]:
    """Return the characters that byte-level vocabularies write bytes with (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [number for number in range(256) if number not in plain]
    return {chr(n): n for n in plain} | {chr(256 + place): n for place, n in enumerate(others)}


BYTE_ALPHABET = _byte_alphabet()
"""The byte that each character of a byte-level vocabulary stands for."""


def _whole(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _may_go_on(raw: bytes) -> bool:
    """Tell whether more bytes could make this a text."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(raw)
    except UnicodeDecodeError:
        return False
    return True
