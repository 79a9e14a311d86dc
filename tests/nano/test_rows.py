"""Batches of the nano pre-training: deterministic, in the project's row layout, padding without labels."""

from __future__ import annotations

import torch

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE
from tunesmith.nano import MODEL, rows
from tunesmith.nano.text.turns import turns


def test_a_row_has_the_default_layout() -> None:
    tokenizer = TextTokenizer.load(MODEL)
    example = rows.row(tokenizer, turns("你好", "嗨", "再见", "bye"))
    pieces = [tokenizer.encode(text) for text in ("<用户>你好<AI>", "嗨", "<用户>再见<AI>", "bye")]
    assert example.input_ids == [1, *(token for piece in pieces for token in piece), 2]
    ends = [sum(map(len, pieces[:2])) + 1, len(example.input_ids) - 1]
    assert example.stops == ends and all(example.labels[position] == 2 for position in ends)
    assert rows.prompt(tokenizer, turns("你好")) == [1, *pieces[0]]


def test_pools_repeat_and_padding_is_not_learned(monkeypatch: object) -> None:
    monkeypatch.setattr(rows, "POOL", 60)  # type: ignore[attr-defined]
    monkeypatch.setattr(rows, "LONG", 2)  # type: ignore[attr-defined]
    tokenizer = TextTokenizer.load(MODEL)
    first, again = (rows.pool(tokenizer, rows.Drawing(seed=3, batch_tokens=512), 0) for _ in range(2))
    assert all(torch.equal(a, b) for one, two in zip(first, again, strict=True) for a, b in zip(one, two, strict=True))
    other = rows.pool(tokenizer, rows.Drawing(seed=3, batch_tokens=512), 1)
    assert len(other) != len(first) or not all(
        one[0].shape == two[0].shape and torch.equal(one[0], two[0]) for one, two in zip(first, other, strict=True)
    )
    for ids_BT, labels_BT in first:
        assert ids_BT.numel() <= 512 or len(ids_BT) == 1
        ends = (ids_BT != 0).sum(dim=1)
        for labels, end in zip(labels_BT, ends, strict=True):
            assert (labels[end:] == IGNORE).all() and (labels != IGNORE).any()
