"""Drawn pictures and talks about them -> padded batches, a fixed function of (seed, pool number)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.chat import render
from ..data.chat_minicpmv import MiniCPMVChat
from ..data.images import normalise, slices
from ..data.slicing import START, Size, Slicing
from ..data.tokenizer import TextTokenizer
from ..data.types import IGNORE, Conversation, Example, ImageRef, Message
from .pictures import draw
from .pictures.questions import Question, ask
from .pictures.words import LANGUAGES

if TYPE_CHECKING:
    from PIL.Image import Image

POOL = 1024
"""Pictures that are drawn and sorted by length at a time."""
QUESTIONS = (3, 6)
"""How many questions a talk has: at least, at most."""
TELLING = ("has both", "name", "describe")
"""Questions that come last, in this order: what is said there answers the others, and nobody would have to look."""


@dataclass(frozen=True)
class Row:
    """A rendered talk about one picture, and the picture's slices, each (3, H, W)."""

    example: Example
    pixels: list[Tensor]


@dataclass(frozen=True)
class VisionBatch:
    """What the model gets: ids and labels (B, T), the slices of all rows in order, and where they belong (n, 3)."""

    ids_BT: Tensor
    labels_BT: Tensor
    pixels: list[Tensor]
    bounds: Tensor


def talk(seed: int | str) -> tuple[Image, list[Question]]:
    """Return a picture and some questions about it, most in one language; a function of the seed."""
    scene, picture = draw(seed)
    rng = Random(f"{seed} talk")
    first = rng.choice(LANGUAGES)
    both = [ask(scene, rng, language) for language in LANGUAGES]
    number = min(rng.randint(*QUESTIONS), len(both[0]))
    places = rng.sample(range(len(both[0])), number)
    places.sort(key=lambda place: TELLING.index(both[0][place].kind) if both[0][place].kind in TELLING else -1)
    chosen = []
    for place in places:
        language = first if rng.random() < 0.85 else rng.choice(LANGUAGES)
        chosen.append(both[LANGUAGES.index(language)][place])
    return picture, chosen


def layout(slicing: Slicing) -> MiniCPMVChat:
    """Return the project's own layout, for pictures in memory: their `path` is their size, as "140x70"."""
    return MiniCPMVChat(slicing, size=_size)


def render_talk(
    tokenizer: TextTokenizer, chat: MiniCPMVChat, picture: Image, turns: list[str], open_turn: bool = False
) -> Row:
    """Render questions and answers in turn about a picture as the project trains them, or as chat sends them."""
    messages = [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(turns)]
    messages[0] = Message("user", f"{START}\n{turns[0]}")
    image = ImageRef(START, f"{picture.width}x{picture.height}")
    conversation = Conversation(tuple(messages), images=(image,))
    example = render(conversation, chat, tokenizer, open_turn=open_turn)
    return Row(example, [torch.from_numpy(normalise(each)) for each in slices(picture, chat.slicing)])


def pool(tokenizer: TextTokenizer, chat: MiniCPMVChat, seed: int, number: int, batch_tokens: int) -> list[VisionBatch]:
    """Return the batches of pool `number`, each of at most `batch_tokens` padded tokens."""
    rows = []
    for place in range(POOL):
        picture, questions = talk(f"{seed} pool {number} row {place}")
        rows.append(
            render_talk(tokenizer, chat, picture, [text for one in questions for text in (one.text, one.answer)])
        )
    rows.sort(key=lambda row: len(row.example.input_ids))
    batches = [padded(part) for part in _cut(rows, batch_tokens)]
    Random(f"{seed} pool {number}").shuffle(batches)
    return batches


def batches(
    tokenizer: TextTokenizer, chat: MiniCPMVChat, seed: int, start: int = 0, batch_tokens: int = 1024
) -> Iterator[VisionBatch]:
    """Yield the endless stream of batches, from pool `start` on."""
    for number in count(start):
        yield from pool(tokenizer, chat, seed, number, batch_tokens)


def padded(rows: list[Row]) -> VisionBatch:
    """Return rows as one batch, padded at the right, where a causal model needs no mask."""
    length = max(len(row.example.input_ids) for row in rows)
    ids_BT = torch.zeros(len(rows), length, dtype=torch.long)
    labels_BT = torch.full((len(rows), length), IGNORE)
    bounds = []
    for number, row in enumerate(rows):
        size = len(row.example.input_ids)
        ids_BT[number, :size] = torch.tensor(row.example.input_ids)
        if row.example.labels:
            labels_BT[number, :size] = torch.tensor(row.example.labels)
        bounds += [(number, *slot) for one in row.example.pictures for slot in one.slots]
    return VisionBatch(ids_BT, labels_BT, [each for row in rows for each in row.pixels], torch.tensor(bounds))


def _cut(rows: list[Row], batch_tokens: int) -> Iterator[list[Row]]:
    part: list[Row] = []
    for row in rows:
        if part and len(row.example.input_ids) * (len(part) + 1) > batch_tokens:
            yield part
            part = []
        part.append(row)
    if part:
        yield part


def _size(path: str) -> Size:
    width, height = path.split("x")
    return int(width), int(height)
