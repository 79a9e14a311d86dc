"""What is recorded of a run: rows with and without pictures, answers, and how differences are measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file

from tunesmith.export.expected import (
    FACTS,
    LAST,
    TENSORS,
    answer_of,
    inputs_of,
    logits_of,
    record,
    recorded_in,
    relative,
    rows_of,
    seams,
)
from tunesmith.models.load import load
from tunesmith.runs import read_json

Finished = Callable[[str], Path]


def test_rows_with_pictures_are_recorded_whole(finished: Finished, tmp_path: Path) -> None:
    loaded = load(finished("vision"), dtype="float32", device="cpu")
    assert record(loaded, rows_of(finished("vision"), loaded), tmp_path) < 1e-6
    stored, facts = load_file(tmp_path / TENSORS), read_json(tmp_path / FACTS)
    assert facts["rows"] == 4 and len(facts["answers"]) == 2
    first = rows_of(finished("vision"), loaded)[0].inputs
    again = inputs_of(stored, 0)
    assert again.keys() == first.keys() == {"input_ids", "image_bound", "pixel_values"}
    assert all(torch.equal(a, b) for a, b in zip(again["pixel_values"], first["pixel_values"], strict=True))


def test_rows_of_the_user_come_last(tmp_path: Path) -> None:
    """Their last positions alone are compared, and what stands before the first answer is asked."""
    file = tmp_path / "my.jsonl"
    talk = [{"role": "user", "content": "你好 " * 60}, {"role": "assistant", "content": "Hello."}]
    file.write_text("\n".join([json.dumps({"messages": talk})] * 3), encoding="utf-8")
    loaded = load("nano-minicpm", dtype="float32", device="cpu")
    rows = rows_of(None, loaded, [str(file)], 2)
    assert record(loaded, rows, tmp_path) is None and len(rows) == 4
    stored, facts = load_file(tmp_path / TENSORS), read_json(tmp_path / FACTS)
    assert facts["rows"] == 4 and facts["own_rows"] == 2 and facts["questions"][3] == list(rows[3].question)
    ids = rows[3].inputs["input_ids"]
    assert len(rows[3].question) < ids.shape[1] and ids[0, : len(rows[3].question)].tolist() == list(rows[3].question)
    assert torch.equal(stored["3.logits"], logits_of(loaded.model, {"input_ids": ids}, "cpu")[-LAST:])


def test_answers_are_those_of_generate() -> None:
    model = load("nano-minicpm", dtype="float32", device="cpu").model
    ids = [1, 4145, 4147, 290]
    row = torch.tensor([ids])
    mask = torch.ones_like(row)
    wanted = model.generate(row, attention_mask=mask, do_sample=False, max_new_tokens=12, eos_token_id=None)
    assert answer_of(model, ids, "cpu") == wanted[0, 4:].tolist()


def test_differences_are_relative_to_the_largest_logit() -> None:
    wanted = torch.tensor([[0.0, -20.0]])
    assert relative(wanted + 1, wanted) == 0.05
    assert relative(wanted / 100 + 0.5, wanted / 100) == 0.5
    for wrong in (torch.tensor([[float("nan"), 0.0]]), torch.zeros(1, 3)):
        assert relative(wrong, wanted) == float("inf")


def test_formats_that_tokenise_messages_one_by_one_are_named() -> None:
    (said,) = seams(load("nano-minicpm", device="cpu"))
    assert "tokenises each message by itself" in said
    assert seams(load("nano-minicpm", device="cpu", chat_template="chatml")) == []


def test_where_a_run_has_recorded_is_known(finished: Finished) -> None:
    assert recorded_in(finished("lora")) == ("float32", "cpu")
    assert recorded_in(None) is None and recorded_in(finished("lora") / "adapter") is None
