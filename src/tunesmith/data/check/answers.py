"""What is wrong with answers and with the order of turns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..types import Conversation
from .likeness import rolling
from .texts import ANSWER, SHOWN, SPACE, Hits, Texts, printable

_WINDOW, _LONG, _REPEATED = 12, 120, 0.6
"""Answers of _LONG characters are looped when this share of their stretches of _WINDOW characters came before."""
_HOLLOW = {"nan", "null", "undefined", "none", "n/a", "[object object]"}


def answer_hits(texts: Texts, conversations: Sequence[Conversation]) -> dict[str, Hits]:
    """Look at the answers: nothing in them, white space around them, the question again, loops."""
    answers = np.flatnonzero((texts.role == ANSWER) & (texts.lengths > 0))
    starts, sizes = texts.starts[answers], texts.lengths[answers]
    short = answers[sizes < 20]
    hollow = [number for number in short.tolist() if _says_nothing(texts.text(number))]
    spaced = texts.classes[starts] == SPACE
    spaced |= texts.classes[starts + sizes - 1] == SPACE
    with_text = np.array([conversation.text is not None for conversation in conversations], bool)
    spaced &= ~with_text[texts.record[answers]]
    return {
        "hollow_answers": _of_texts(texts, np.array(hollow, np.int64)),
        "spaces_around": _of_texts(texts, answers[spaced]),
        "repeats_question": _repeats_question(conversations),
        "looped_answers": _of_texts(texts, _looped(texts)),
        "same_as_rejected": _same_as_rejected(conversations),
        "role_order": _role_order(conversations),
    }


def _says_nothing(text: str) -> bool:
    return text.strip().casefold() in _HOLLOW or not any(character.isalnum() for character in text)


def _of_texts(texts: Texts, numbers: NDArray[np.int64]) -> Hits:
    """Return hits in whole texts; each is described by how it begins."""
    return texts.hits(texts.starts[numbers], lambda at: f"'{printable(texts.text(int(texts.at(np.array([at]))[0])))}'")


def _looped(texts: Texts) -> NDArray[np.int64]:
    """Return the numbers of the answers that say the same again and again.

    One stretch in eight is looked at, chosen by what it says; what looks looped is then looked at in full.
    """
    long = (texts.lengths >= _LONG) & (texts.role == ANSWER)
    inside = np.repeat(long, texts.lengths + 1)[: len(texts.codes)]
    codes, owner = texts.codes[inside], texts.owner[inside]
    if len(codes) < _LONG:
        return np.zeros(0, np.int64)
    hashes = rolling(codes, _WINDOW)
    chosen = np.flatnonzero((hashes & np.uint32(7)) == 0)
    chosen = chosen[owner[chosen] == owner[chosen + _WINDOW - 1]]
    first = owner[chosen]
    keys = np.sort(first.astype(np.uint64) << np.uint64(32) | hashes[chosen])
    again = (keys[1:][keys[1:] == keys[:-1]] >> np.uint64(32)).astype(np.int64)
    count = len(texts.starts)
    seen, repeated = np.bincount(first, minlength=count), np.bincount(again, minlength=count)
    few = seen * 32 < texts.lengths  # a short loop has few different stretches, perhaps none of those chosen
    doubtful = np.flatnonzero(long & (few | (repeated >= _REPEATED / 2 * seen)))
    return np.array([number for number in doubtful.tolist() if _is_loop(texts.text(number))], np.int64)


def _is_loop(text: str) -> bool:
    count = len(text) - _WINDOW + 1
    return len({text[at : at + _WINDOW] for at in range(count)}) <= (1 - _REPEATED) * count


def _repeats_question(conversations: Sequence[Conversation]) -> Hits:
    found = []
    for number, conversation in enumerate(conversations):
        messages = conversation.messages
        for before, message in pairwise(messages):
            if message.role == "assistant" and message.content.strip() == before.content.strip() and message.content:
                found.append((number, f"answer: '{printable(message.content)}'"))
                break
    return Hits(len(found), len(found), found[:SHOWN])


def _same_as_rejected(conversations: Sequence[Conversation]) -> Hits:
    found = [
        (number, f"rejected: '{printable(c.rejected.content)}'")
        for number, c in enumerate(conversations)
        if c.rejected is not None and c.messages and c.rejected.content.strip() == c.messages[-1].content.strip()
    ]
    return Hits(len(found), len(found), found[:SHOWN])


def _role_order(conversations: Sequence[Conversation]) -> Hits:
    """Find talks whose turns do not come in the usual order, where a format lets them through."""
    known: dict[tuple[str, ...], str] = {}
    found = []
    for number, conversation in enumerate(conversations):
        roles = tuple(message.role for message in conversation.messages)
        if roles not in known:
            known[roles] = _fault(roles)
        if known[roles]:
            found.append((number, known[roles]))
    return Hits(len(found), len(found), found[:SHOWN])


def _fault(roles: tuple[str, ...]) -> str:
    for number, (before, role) in enumerate(zip((None, *roles), roles, strict=False)):
        if role == "system" and before is not None:
            return f"messages[{number}]: a system text that is not the first message"
        if role == before and role in ("user", "assistant"):
            return f"messages[{number}]: {role} follows {before}"
        if role == "assistant" and before in (None, "system"):
            return f"messages[{number}]: the assistant speaks first"
    return f"messages[{len(roles) - 1}]: the last message is no answer" if roles and roles[-1] != "assistant" else ""
