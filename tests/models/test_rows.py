"""The user's own rows: the first ones, cut, with their questions and pictures; a bad record is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.data.chat import render
from tunesmith.data.types import Conversation, Message
from tunesmith.errors import DataError
from tunesmith.locate import BUNDLED
from tunesmith.models.load import load, text_tokenizer
from tunesmith.models.rows import first_rows


def test_rows_are_those_of_training(tmp_path: Path) -> None:
    lines = [
        {"messages": [{"role": "user", "content": f"{n} and {n}?"}, {"role": "assistant", "content": "Two."}]}
        for n in range(3)
    ]
    file = tmp_path / "my.jsonl"
    file.write_text("\n".join(['{"messages": 1}', *map(json.dumps, lines)]), "utf-8")
    loaded = load("nano-minicpm", device="cpu")
    with pytest.raises(DataError, match="record 0") as told:
        first_rows([str(file)], loaded, 2, 64)
    assert "on_bad" not in str(told.value)
    file.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    found = first_rows([str(file)], loaded, 2, 64)
    tokenizer = text_tokenizer(loaded.tokenizer)
    chat = loaded.family.chat(tokenizer, loaded.model.config.to_dict())
    talk = Conversation((Message("user", "1 and 1?"), Message("assistant", "Two.")))
    assert len(found) == 2 and found[1].inputs["input_ids"].tolist() == [render(talk, chat, tokenizer).input_ids]
    asked = Conversation(talk.messages[:1])
    assert found[1].question == render(asked, chat, tokenizer, open_turn=True).input_ids
    assert first_rows([str(file)], loaded, 9, 4)[2].inputs["input_ids"].shape == (1, 4)
    empty = tmp_path / "empty.json"
    empty.write_text("[]", "utf-8")
    with pytest.raises(DataError):
        first_rows([str(empty)], loaded, 2, 64)


def test_pictures_come_along() -> None:
    file = Path(BUNDLED["nano-minicpmv"]).parent / "data" / "pictures" / "validation.json"
    row = first_rows([str(file)], load("nano-minicpmv", device="cpu"), 1, 8)[0]
    assert set(row.inputs) == {"input_ids", "pixel_values", "image_bound"}
    assert row.inputs["input_ids"].shape[1] > 8 and len(row.inputs["pixel_values"]) == len(row.inputs["image_bound"])
