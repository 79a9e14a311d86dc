"""Rows of two answers: rendered as ever, stored whole, split into halves again, and refused where there is no such thing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.data.chat import RenderOptions, render
from tunesmith.data.chats import MarkerChat
from tunesmith.data.collate import Collator, collate
from tunesmith.data.formats import messages, preference
from tunesmith.data.pipeline import Prepared, prepare, split
from tunesmith.data.preferences import halves, pair, rows_of, with_others
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE, Conversation, Example, Message, Origin, Pack, Picture
from tunesmith.errors import DataError, RecordError

HISTORY = [
    {"role": "user", "content": "你好"},
    {"role": "assistant", "content": "hi"},
    {"role": "user", "content": "who?"},
]
PAIR = {"prompt": HISTORY, "chosen": "a small model", "rejected": "none of yours"}
JUDGED = {"messages": [*HISTORY, {"role": "assistant", "content": "no"}], "label": False}


@pytest.fixture(scope="module")
def tokenizer(tiny_model_folder: Path) -> TextTokenizer:
    return TextTokenizer.load(tiny_model_folder)


def parsed(record: dict[str, Any]) -> Conversation:
    return preference.parse(record, Origin("x.json", 3))


def rows(record: dict[str, Any], tokenizer: TextTokenizer, answers: Any, max_length: int = 64) -> list[Example]:
    return rows_of(parsed(record), MarkerChat(), tokenizer, RenderOptions(max_length, answers=answers))


def test_both_answers_are_rendered_as_in_sft_and_only_the_last_one_counts(tokenizer: TextTokenizer) -> None:
    (row,) = rows(PAIR, tokenizer, "pairs")
    options = RenderOptions(loss_on="last_answer")
    for half, answer in zip(halves(row), ("a small model", "none of yours"), strict=True):
        said = [Message(m["role"], m["content"]) for m in HISTORY]
        whole = render(Conversation((*said, Message("assistant", answer))), MarkerChat(), tokenizer, options)
        assert (half.input_ids, half.labels) == (whole.input_ids, whole.labels)
        prompt = render(Conversation(tuple(said)), MarkerChat(), tokenizer, open_turn=True).input_ids
        begin = next(n for n, label in enumerate(half.labels) if label != IGNORE)
        assert half.input_ids[:begin] == prompt  # what chat sends
        assert half.labels[-1] == tokenizer.eos_id
    assert row.stops == [n for n, label in enumerate(row.labels) if label == tokenizer.eos_id]
    (row,) = rows(PAIR, tokenizer, "good")
    assert not row.second


def test_a_pair_is_two_judged_answers(tokenizer: TextTokenizer) -> None:
    good, bad = rows(PAIR, tokenizer, "judged")
    assert (good.liked, bad.liked, good.second, bad.second) == (True, False, 0, 0)
    assert (good.input_ids, bad.input_ids) == tuple(h.input_ids for h in halves(rows(PAIR, tokenizer, "pairs")[0]))
    (bad,) = rows(JUDGED, tokenizer, "judged")
    assert not bad.liked and bad.label_count == 1 + len(tokenizer.encode("no"))


def test_long_answers_are_cut_and_counted(tokenizer: TextTokenizer) -> None:
    record = {**PAIR, "rejected": "none " * 30}
    (whole,) = rows(record, tokenizer, "pairs", 400)
    length = len(whole.input_ids) - whole.second - 5
    (cut,) = rows(record, tokenizer, "pairs", length)
    assert (cut.cut, cut.cut_labels, whole.cut) == (5, 5, 0)
    assert cut.second == whole.second and len(cut.input_ids) == whole.second + length


@pytest.mark.parametrize(
    ("record", "answers", "field", "reason", "mend"),
    [
        ({"messages": PAIR["prompt"] + [{"role": "assistant", "content": "x"}]}, "pairs", "rejected", "does not compare", "sft"),
        (JUDGED, "pairs", "rejected", "judges one answer", "objective: kto"),
        ({"messages": PAIR["prompt"] + [{"role": "assistant", "content": "x"}]}, "judged", "label", "it is missing", "sft"),
        ({**PAIR, "chosen": "no " * 30 + "a", "rejected": "no " * 30 + "b"}, "pairs", "rejected", "within max_length 40 the same", "Raise"),
        ({**PAIR, "prompt": "you " * 90}, "pairs", "messages", "nothing is left", "Raise max_length"),
    ],
    ids=["no pair", "judged", "unjudged", "same when cut", "no room"],
)  # fmt: skip
def test_what_cannot_be_used(
    record: dict, answers: Any, field: str, reason: str, mend: str, tokenizer: TextTokenizer
) -> None:
    parse = preference.parse if preference.matches(record) else messages.parse
    with pytest.raises(RecordError) as error:
        rows_of(parse(record, Origin("x.json", 3)), MarkerChat(), tokenizer, RenderOptions(40, answers=answers))
    assert error.value.field == field and reason in error.value.reason and mend in error.value.mend


def example(prompt: list[int], answer: list[int], **more: Any) -> Example:
    return Example(prompt + answer, [IGNORE] * len(prompt) + answer, **more)


def test_others_are_of_another_prompt() -> None:
    made = [[example([1, 2], [10]), example([1, 2], [11, 12])], [example([3], [13], liked=False)], []]
    filled = with_others(made, 3)
    assert [len(each) for each in filled] == [2, 1, 0]
    found = [halves(one) for each in filled for one in each]
    assert [first.input_ids for first, _ in found] == [[1, 2, 10], [1, 2, 11, 12], [3, 13]]
    assert [second.input_ids for _, second in found] == [[1, 2, 13], [1, 2, 13], [3, 11, 12]]
    assert found[2][1].labels == [IGNORE, 11, 12] and not filled[1][0].liked
    assert halves(with_others([[example([1, 2], [5]), example([3], [6, 7, 8])]], 3)[0][0])[1].input_ids == [1, 2, 6]
    alone = with_others([[example([1], [5])]], None)[0][0]
    assert halves(alone)[1].input_ids == [1, 5]
    same = with_others([[example([1], [5])], [example([1], [6])]], None)
    assert [halves(one[0])[1].input_ids for one in same] == [[1, 6], [1, 5]]


def test_pictures_stay_with_their_half() -> None:
    one = example([1, 2, 3], [4], pictures=(Picture("a", ((1, 2),)), Picture("b", ((2, 3),))), weight=2.0)
    two = example([5, 6, 7], [8, 9], pictures=(Picture("a", ((0, 2),)),))
    first, second = halves(pair(one, two))
    assert (first.pictures, second.pictures) == (one.pictures, two.pictures)
    assert (first.weight, second.weight) == (2.0, 2.0)


def test_halves_are_rows_or_segments() -> None:
    pairs = [
        pair(example([1, 2], [3]), example([1, 2], [4, 5])),
        pair(example([6], [7], liked=False), example([6], [8])),
    ]
    batch = collate(pairs, pad_id=0)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 0], [1, 2, 4, 5], [6, 7, 0, 0], [6, 8, 0, 0]]
    assert batch["liked"].tolist() == [True, False] and "reference_logps" not in batch
    pairs[0].reference, pairs[1].reference = (-1.0, -2.0), (-3.0, -4.0)
    packed = collate([Pack(tuple(pairs))], pad_id=0)
    assert packed["attention_mask"].tolist() == [[1, 1, 1, 2, 2, 2, 2, 3, 3, 4, 4]]
    assert packed["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3, 0, 1, 0, 1]]
    assert packed["labels"][0, 3] == IGNORE and packed["reference_logps"].tolist() == [[-1, -2], [-3, -4]]
    empty = Collator(9, pairs=True)([])
    assert empty["input_ids"].shape == (2, 2) and empty["reference_logps"].shape == (1, 2)
    assert (empty["labels"] == IGNORE).all() and torch.equal(empty["liked"], torch.tensor([True]))


def write(folder: Path, records: list[dict]) -> str:
    file = folder / "data.json"
    file.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return str(file)


def prompt(half: Example) -> tuple[int, ...]:
    return tuple(half.input_ids[: next(n for n, label in enumerate(half.labels) if label != IGNORE)])


def prepared(file: str, tokenizer: TextTokenizer, answers: Any) -> Prepared:
    return prepare([file], MarkerChat(), tokenizer, RenderOptions(64, answers=answers))


def test_rows_come_back_from_the_disk_and_prompts_stay_together(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    records = [{"prompt": f"say {n % 4}", "chosen": f"good {n}", "rejected": f"bad {n} " * (n + 1)} for n in range(12)]
    found = prepared(write(tmp_path, records), tokenizer, "pairs")
    assert len(found) == 12 and found.report.label_tokens == sum(one.label_count for one in found)
    (first,) = rows(records[5], tokenizer, "pairs")
    stored = found[5]
    assert (stored.input_ids, stored.labels, stored.second) == (first.input_ids, first.labels, first.second)
    train, validation = split(found, 0.25, 1)
    asked = [{prompt(halves(one)[0]) for one in part} for part in (train, validation)]
    assert len(asked[0]) == 3 and len(asked[1]) == 1 and not asked[0] & asked[1]


def test_judged_rows_are_all_kept(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    records = [{"prompt": f"say {n}", "completion": f"word {n}", "label": n % 3 == 0} for n in range(6)]
    file = write(tmp_path, records)
    found = prepared(file, tokenizer, "judged")
    assert [one.liked for one in found] == [True, False, False] * 2
    assert found.report.files[0].unlearned == 0 and all(one.second for one in found)
    assert len(prepared(file, tokenizer, "good")) == 2
    with pytest.raises(DataError, match="6 of 6 records cannot be used.*\n.*does not compare two answers"):
        prepared(file, tokenizer, "pairs")
