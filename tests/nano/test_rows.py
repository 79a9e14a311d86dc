"""Batches of the nano pre-training: deterministic, in the project's row layout, padding without labels."""

from __future__ import annotations

import pytest
import torch

from tunesmith.data.chats import load_chat
from tunesmith.data.types import IGNORE
from tunesmith.nano import MODEL, TRANSNORMER_MODEL, rows
from tunesmith.nano.text.turns import turns


def test_a_row_has_the_default_layout() -> None:
    tokenizer, chat = load_chat(MODEL)
    example = rows.row(tokenizer, chat, turns("你好", "嗨", "再见", "bye"))
    pieces = [tokenizer.encode(text) for text in ("<用户>你好<AI>", "嗨", "<用户>再见<AI>", "bye")]
    assert example.input_ids == [1, *(token for piece in pieces for token in piece), 2]
    ends = [sum(map(len, pieces[:2])) + 1, len(example.input_ids) - 1]
    assert example.stops == ends and all(example.labels[position] == 2 for position in ends)
    assert rows.prompt(tokenizer, chat, turns("你好")) == [1, *pieces[0]]


def test_a_row_of_the_transnormer_has_the_official_layout() -> None:
    tokenizer, chat = load_chat(TRANSNORMER_MODEL)
    example = rows.row(tokenizer, chat, turns("你好", "嗨", "再见", "bye"))
    first, second = "Human:\n你好\nAssistant:\n嗨", "Human:\n再见\nAssistant:\nbye"
    assert example.input_ids == [*tokenizer.encode(first), 2, *tokenizer.encode(second), 2]
    learned = [number for number, label in enumerate(example.labels) if label != IGNORE]
    assert [example.labels[number] for number in learned] == [example.input_ids[number] for number in learned]
    assert tokenizer.decode([example.labels[number] for number in learned]) == "嗨bye"
    assert len(example.stops) == 2 and set(example.stops) <= set(learned)
    asked = rows.prompt(tokenizer, chat, turns("你好"))
    assert asked == tokenizer.encode("Human:\n你好\nAssistant:\n") == example.input_ids[: len(asked)]


def test_a_model_learns_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "POOL", 60)
    monkeypatch.setattr(rows, "LONG", 1)
    tokenizer, chat = load_chat(TRANSNORMER_MODEL)
    for name, other in (("nano-minicpm", "nano-bird"), ("nano-bird", "nano-minicpm")):
        batches = rows.pool(tokenizer, chat, rows.Drawing(name=name), 0)
        texts = [tokenizer.decode(ids.tolist()) for ids_BT, _ in batches for ids in ids_BT]
        assert any(name in each for each in texts) and not any(other in each for each in texts)


def test_pools_repeat_and_padding_is_not_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "POOL", 60)
    monkeypatch.setattr(rows, "LONG", 2)
    tokenizer, chat = load_chat(MODEL)
    first, again = (rows.pool(tokenizer, chat, rows.Drawing(seed=3, batch_tokens=512), 0) for _ in range(2))
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    other = rows.pool(tokenizer, chat, rows.Drawing(seed=3, batch_tokens=512), 1)
    assert len(other) != len(first) or not all(
        one[0].shape == two[0].shape and torch.equal(one[0], two[0]) for one, two in zip(first, other, strict=True)
    )
    for ids_BT, labels_BT in first:
        assert ids_BT.numel() <= 512 or len(ids_BT) == 1
        ends = (ids_BT != 0).sum(dim=1)
        for labels, end in zip(labels_BT, ends, strict=True):
            assert (labels[end:] == IGNORE).all() and (labels != IGNORE).any()
