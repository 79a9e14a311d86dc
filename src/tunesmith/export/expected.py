"""What an export must reproduce: logits, greedy answers, token ids and the chat template of the run itself."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.chat import render
from ..data.types import Conversation, Message
from ..errors import DataError
from ..models.load import Loaded, text_tokenizer
from ..models.rows import first_rows
from ..runs import RECORDED, RECORDED_FACTS, read_json

TENSORS, FACTS = "expected.safetensors", "expected.json"
ANSWER = 12
"""Tokens of a greedy answer."""
ROWS, LONGEST, LAST = 16, 1024, 64
"""Rows of the user's files unless told otherwise; of each so many tokens at most, and the logits of so many at its end."""
_TALKS = (
    Conversation((Message("user", "你好"), Message("assistant", "Hello."), Message("user", "Who are you?"))),
    Conversation((Message("user", "What is 2 + 3?  Say it twice."),)),
)


_SEAMS = (
    "This chat format tokenises each message by itself, as it was trained. Programs that tokenise a conversation of "
    "several turns as one text have slightly other tokens where two messages meet; a single question is the same."
)


@dataclass(frozen=True)
class Row:
    """A row of tokens: `inputs` are the model's arguments, `recorded` the logits (T, V) that the run wrote down.

    `question`: the beginning that is answered; empty: none. `last`: how many positions at the end are compared; None: all.
    """

    inputs: dict[str, Any]
    recorded: Tensor | None = None
    question: tuple[int, ...] = ()
    last: int | None = None

    @classmethod
    def halved(cls, inputs: dict[str, Any], recorded: Tensor | None = None) -> Row:
        """Return a row whose first half is answered, if it holds no pictures."""
        ids = inputs["input_ids"][0].tolist()
        half = ids[: (len(ids) + 1) // 2] if len(ids) > 1 else ids
        return cls(inputs, recorded, () if "pixel_values" in inputs else tuple(half))


def rows_of(run: Path | None, loaded: Loaded, files: Sequence[str] = (), count: int = ROWS) -> list[Row]:
    """Return the rows that a run has recorded, prompts in the run's own chat format, and `count` rows of the files.

    Raises:
        DataError: a file or a record of it cannot be used.
    """
    rows = []
    if run is not None and (run / RECORDED).is_file():
        stored = load_file(run / RECORDED)
        recorded = sum(name.endswith(".logits") for name in stored)
        rows = [Row.halved(inputs_of(stored, number), stored[f"{number}.logits"]) for number in range(recorded)]
    rows += [Row.halved({"input_ids": torch.tensor([ids])}) for ids in _prompts(loaded)]
    own = first_rows(files, loaded, count, LONGEST) if files else []
    return rows + [
        Row(one.inputs, question=() if "pixel_values" in one.inputs else tuple(one.question), last=LAST) for one in own
    ]


def inputs_of(stored: dict[str, Tensor], number: int) -> dict[str, Any]:
    """Return the model's arguments of a stored row."""
    inputs: dict[str, Any] = {"input_ids": stored[f"{number}.input_ids"]}
    if f"{number}.image_bound" in stored:
        inputs["image_bound"] = stored[f"{number}.image_bound"]
        inputs["pixel_values"] = [
            stored[f"{number}.pixel_values.{piece}"] for piece in range(len(inputs["image_bound"]))
        ]
    return inputs


@torch.no_grad()
def logits_of(model: Any, inputs: dict[str, Any], device: str) -> Tensor:
    """Return the logits (T, V) of one row, float32 on the CPU."""
    moved: dict[str, Any] = {}
    for name, value in inputs.items():
        moved[name] = [one.to(device) for one in value] if isinstance(value, list) else value.to(device)
    logits: Tensor = model(**moved).logits[0].float().cpu().contiguous()
    return logits


def answer_of(model: Any, ids: list[int], device: str) -> list[int]:
    """Return the likeliest next tokens, one after the other, each from a whole forward pass: no cache, no settings."""
    row = list(ids)
    for _ in range(ANSWER):
        row.append(int(logits_of(model, {"input_ids": torch.tensor([row])}, device)[-1].argmax()))
    return row[len(ids) :]


def record(loaded: Loaded, rows: Sequence[Row], folder: Path) -> float | None:
    """Write into `folder` what an export must reproduce; return how far the run's own recorded logits are apart.

    That is relative to the largest logit of the row, and None where nothing is recorded.
    """
    device = str(loaded.model.device)
    model: Any = loaded.model
    tensors: dict[str, Tensor] = {}
    apart: list[float] = []
    for number, row in enumerate(rows):
        for name, value in row.inputs.items():
            pieces = {f"{name}.{n}": one for n, one in enumerate(value)} if isinstance(value, list) else {name: value}
            tensors |= {f"{number}.{piece}": one.contiguous() for piece, one in pieces.items()}
        logits = logits_of(model, row.inputs, device)
        tensors[f"{number}.logits"] = logits[-row.last :].clone() if row.last else logits
        if row.recorded is not None:
            apart.append(relative(logits, row.recorded))
    tokenizer = text_tokenizer(loaded.tokenizer)
    asked = [list(row.question) for row in rows if row.question]
    facts = {
        "rows": len(rows),
        "own_rows": sum(row.last is not None for row in rows),
        "device": device,
        "questions": asked,
        "answers": [answer_of(model, ids, device) for ids in asked],
        "texts": {text: tokenizer.encode(text) for text in map(tokenizer.decode, asked)},
        "chat_template": tokenizer.chat_template,
    }
    save_file(tensors, folder / TENSORS)
    (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    return max(apart, default=None)


def recorded_in(run: Path | None) -> tuple[str, str] | None:
    """Return the dtype and the kind of device in which a run has recorded its logits."""
    facts = read_json(run / RECORDED_FACTS) if run is not None else None
    return (facts["dtype"], facts["device"]) if facts else None


def relative(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference of two tables of logits, relative to the largest wanted one (at least 1)."""
    if found.shape != wanted.shape:
        return float("inf")
    apart = float((found - wanted).abs().max()) / max(1.0, float(wanted.abs().max()))
    return float("inf") if math.isnan(apart) else apart


def _prompts(loaded: Loaded) -> list[list[int]]:
    """Return two short conversations as chat would send them, as far as the template takes them."""
    tokenizer = text_tokenizer(loaded.tokenizer)
    model: Any = loaded.model
    if tokenizer.chat_template is None and model.config.model_type != "minicpmv":
        return [tokenizer.encode(talk.messages[0].content) for talk in _TALKS]
    chat, found = loaded.family.chat(tokenizer, model.config.to_dict()), []
    for talk in _TALKS:
        try:
            found.append(render(talk, chat, tokenizer, open_turn=True).input_ids)
        except DataError:
            continue
    return found or [tokenizer.encode(_TALKS[0].messages[0].content)]


def seams(loaded: Loaded) -> list[str]:
    """Return a sentence about conversations that other programs turn into other tokens, or nothing.

    MiniCPM's messages are tokenised one by one in training; a server tokenises the whole text.
    """
    tokenizer = text_tokenizer(loaded.tokenizer)
    model: Any = loaded.model
    if tokenizer.chat_template is None or model.config.model_type == "minicpmv":
        return []
    chat = loaded.family.chat(tokenizer, model.config.to_dict())
    try:
        text = "".join(piece.text for piece in chat.pieces(_TALKS[0], open_turn=True))
        ids = render(_TALKS[0], chat, tokenizer, open_turn=True).input_ids
    except DataError:  # a template that takes no such conversation
        return []
    begin = tokenizer.bos_id
    same = [one for one in tokenizer.encode(text) if one != begin] == [one for one in ids if one != begin]
    return [] if same else [_SEAMS]
