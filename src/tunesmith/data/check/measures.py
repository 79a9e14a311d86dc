"""What is measured of each block of records, in the worker processes: about a hundred bytes a record come back."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..chat import ChatFormat
from ..tokenizer import TextTokenizer
from ..types import Conversation, Example, Message
from .answers import answer_hits
from .likeness import signatures
from .phrases import phrase_hits
from .texts import (
    ANSWER,
    BROKEN,
    CONTROL,
    INVISIBLE,
    LANGUAGES,
    PRIVATE,
    QUESTION,
    REJECTED,
    RETURN,
    SHOWN,
    SPACE,
    SYSTEM,
    Hits,
    Texts,
    languages,
)  # fmt: skip
from .tokens import TokenProbe, Tokens

_CHARACTERS = {
    "broken_characters": BROKEN, "control_characters": CONTROL, "invisible_characters": INVISIBLE,
    "private_characters": PRIVATE, "carriage_returns": RETURN,
}  # fmt: skip


@dataclass
class Measures:
    """What is measured of the usable records of a block; arrays have an entry a record.

    `record`, `line` (0: none): the place. `whole` and `prompt`: hashes of the conversation and of what comes before
    its last answer (0: nothing). `characters` of all its texts, `answer` of its last answer, `said` a hash of that. `preference`:
    whether it is one of several answers to be judged. `pairs`: how many records have their question (row) and last answer (column) in which of
    LANGUAGES.
    """

    record: NDArray[np.int64]
    line: NDArray[np.int64]
    whole: NDArray[np.uint64]
    prompt: NDArray[np.uint64]
    signature: NDArray[np.uint8]
    characters: NDArray[np.int32]
    answer: NDArray[np.int32]
    said: NDArray[np.uint64]
    preference: NDArray[np.bool_]
    pairs: NDArray[np.int64]
    hits: dict[str, Hits]
    tokens: Tokens | None = None


@dataclass(frozen=True)
class Probe:
    """What `flow.survey` calls once a block: measures conversations and their rows, which are rendered whole.

    `marks`: texts with which the model's template marks turns. Without `tokens` only texts are measured.
    """

    tokens: TokenProbe | None = None
    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, chat: ChatFormat, tokenizer: TextTokenizer, max_length: int) -> Probe:
        """Return the probe for a model."""
        added = tokenizer.backend.get_added_tokens_decoder().values()
        special = [token.content for token in added if token.special and chat.keep is None]  # else they stay text
        marks = dict.fromkeys(mark for mark in (*chat.stop_texts, *special) if mark.strip())
        return cls(TokenProbe(tokenizer, max_length), tuple(marks))

    def __call__(self, conversations: list[Conversation], rows: list[list[Example]]) -> Measures:
        """Measure a block."""
        texts, count = Texts.of(conversations), len(conversations)
        tokens, of_tokens = None, dict[str, Hits]()
        if self.tokens is not None:
            tokens, of_tokens = self.tokens.measure(conversations, rows)
        pairs, other = _languages(texts, count)
        places = [conversation.origin for conversation in conversations]
        hashes = [_hashes(conversation) for conversation in conversations]
        return Measures(
            record=np.array([place.record if place else number for number, place in enumerate(places)], np.int64),
            line=np.array([place.line or 0 if place else 0 for place in places], np.int64),
            whole=np.array([whole for whole, _ in hashes], np.uint64),
            prompt=np.array([prompt for _, prompt in hashes], np.uint64),
            signature=_signatures(texts, count),
            characters=np.bincount(texts.record, texts.lengths, count).astype(np.int32),
            answer=_answer_lengths(texts, count),
            said=np.array([_said(conversation) for conversation in conversations], np.uint64),
            preference=np.array([conversation.liked is not None for conversation in conversations], bool),
            pairs=pairs,
            hits={
                **_characters(texts),
                **phrase_hits(texts, self.marks),
                **answer_hits(texts, conversations),
                **of_tokens,
                "other_language": other,
            },
            tokens=tokens,
        )


def _characters(texts: Texts) -> dict[str, Hits]:
    special = np.flatnonzero(texts.classes >= RETURN)
    kinds = texts.classes[special]
    return {
        name: texts.hits(special[kinds == kind], lambda at: f"U+{int(texts.codes[at]):04X}")
        for name, kind in _CHARACTERS.items()
    }


def _languages(texts: Texts, count: int) -> tuple[NDArray[np.int64], Hits]:
    """Return the Measures.pairs, and the records whose answer is in another language than the question."""
    spoken = languages(texts.scripts)
    question, answer = np.full(count, -1), np.full(count, -1)
    asked, given = texts.role == QUESTION, texts.role == ANSWER
    question[texts.record[asked]], answer[texts.record[given]] = spoken[asked], spoken[given]  # the last of each
    both = (question >= 0) & (answer >= 0)
    size = len(LANGUAGES)
    pairs = np.bincount(np.where(both, question, 0) * size + np.maximum(answer, 0), minlength=size * size)
    other = np.flatnonzero(both & (question != answer) & (question > 0) & (answer > 0))
    first = [(int(n), f"{LANGUAGES[question[n]]} question, {LANGUAGES[answer[n]]} answer") for n in other[:SHOWN]]
    return pairs.reshape(size, size), Hits(len(other), len(other), first)


def _answer_lengths(texts: Texts, count: int) -> NDArray[np.int32]:
    lengths = np.zeros(count, np.int32)
    given = texts.role == ANSWER
    lengths[texts.record[given]] = texts.lengths[given]
    return lengths


def _signatures(texts: Texts, count: int) -> NDArray[np.uint8]:
    """Return the signatures of the records without system texts, rejected answers and white space."""
    wanted = texts.classes != SPACE
    counted = (texts.role != SYSTEM) & (texts.role != REJECTED)
    if not counted.all():
        wanted &= counted[texts.owner]
    owner = texts.record.astype(np.int32)[texts.owner[wanted]]
    return signatures(texts.codes[wanted], owner, count)


def _said(conversation: Conversation) -> int:
    text = conversation.messages[-1].content if conversation.messages else conversation.text or ""
    return _number(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "little")


def _hashes(conversation: Conversation) -> tuple[int, int]:
    """Return hashes of a whole conversation and of what comes before its last answer."""
    messages: tuple[Message, ...] = conversation.messages
    digest = hashlib.blake2b(digest_size=8)
    for part in (conversation.tools, *(image.path for image in conversation.images)):
        if part:
            digest.update(f"\0{part}".encode("utf-8", "surrogatepass"))
    for message in messages[:-1]:
        digest.update(f"\0{message.role}\0{message.content}\0{message.calls}".encode("utf-8", "surrogatepass"))
    prompt = _number(digest.digest()) if len(messages) > 1 else 0
    last = [conversation.text] if conversation.text is not None else []
    for last_message in (*messages[-1:], conversation.rejected):
        last += [last_message.role, last_message.content, last_message.calls] if last_message is not None else []
    digest.update(f"\1{conversation.liked}\0{chr(0).join(last)}".encode("utf-8", "surrogatepass"))
    return _number(digest.digest()), prompt
