"""Generated conversations -> padded batches of similar length, a fixed function of (seed, pool number)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import torch
from torch import Tensor

from ..data.chat import ChatFormat, render
from ..data.tokenizer import TextTokenizer
from ..data.types import IGNORE, Conversation, Example, Message
from . import text
from .text.identity import OWN_NAME, named
from .text.turns import Turn

POOL = 4096
"""Conversations that are drawn and sorted by length at a time."""
LONG = 16
"""Long conversations among them."""
MAX_LENGTH = 640


@dataclass(frozen=True)
class Drawing:
    """What decides the batches.

    `batch_tokens`: padded tokens that a batch may have. `prompt_share`: rows whose questions are learned too.
    `slow`: how much more often the slow tasks are drawn. `name`: what the model calls itself.
    """

    seed: int = 0
    batch_tokens: int = 1024
    prompt_share: float = 0.0
    slow: float = 1.0
    name: str = OWN_NAME


def row(tokenizer: TextTokenizer, chat: ChatFormat, messages: list[Turn]) -> Example:
    """Render a conversation as the project trains it: answers and the end of each are labels."""
    conversation = Conversation(tuple(Message(turn["role"], turn["content"]) for turn in messages))
    return render(conversation, chat, tokenizer)


def prompt(tokenizer: TextTokenizer, chat: ChatFormat, messages: list[Turn]) -> list[int]:
    """Return the ids after which the model's answer begins."""
    conversation = Conversation(tuple(Message(turn["role"], turn["content"]) for turn in messages))
    return render(conversation, chat, tokenizer, open_turn=True).input_ids


def pool(tokenizer: TextTokenizer, chat: ChatFormat, drawing: Drawing, number: int) -> list[tuple[Tensor, Tensor]]:
    """Return the batches (input_ids, labels), each (B, T) int64, of pool `number`.

    Rows are padded at the right, where a causal model needs no mask. A share of the rows is trained on the questions
    too: that teaches the words that only stand there.
    """
    rng = Random(f"{drawing.seed} pool {number}")
    talks = [text.conversation(rng, drawing.slow) for _ in range(POOL)]
    talks += [text.long_conversation(rng, drawing.slow) for _ in range(LONG)]
    examples = [row(tokenizer, chat, named(talk, drawing.name)) for talk in talks]
    for example in examples:
        if rng.random() < drawing.prompt_share:
            pairs = zip(example.labels[1:], example.input_ids[1:], strict=True)
            example.labels[1:] = [label if label != IGNORE else token for label, token in pairs]
    examples.sort(key=lambda example: len(example.input_ids))
    batches = [_pad(rows) for rows in _cut(examples, drawing.batch_tokens)]
    rng.shuffle(batches)
    return batches


def _cut(examples: list[Example], batch_tokens: int) -> Iterator[list[Example]]:
    """Cut sorted examples into batches of at most `batch_tokens` padded tokens."""
    rows: list[Example] = []
    for example in examples:
        if rows and min(len(example.input_ids), MAX_LENGTH) * (len(rows) + 1) > batch_tokens:
            yield rows
            rows = []
        rows.append(example)
    if rows:
        yield rows


def _pad(rows: list[Example]) -> tuple[Tensor, Tensor]:
    length = min(max(len(example.input_ids) for example in rows), MAX_LENGTH)
    ids_BT = torch.zeros(len(rows), length, dtype=torch.long)
    labels_BT = torch.full((len(rows), length), IGNORE)
    for number, example in enumerate(rows):
        size = min(len(example.input_ids), length)
        ids_BT[number, :size] = torch.tensor(example.input_ids[:size])
        labels_BT[number, :size] = torch.tensor(example.labels[:size])
    return ids_BT, labels_BT
