"""MiniCPM-V 2.0's layout: the prompts of the published chat, the rows of the published script, and what is only text."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.chat import Piece, _encode, render
from tunesmith.data.chat_minicpmv import MiniCPMVChat
from tunesmith.data.formats import vision
from tunesmith.data.slicing import Plan, Size, Slicing, placeholder
from tunesmith.data.slots import bounds
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE, Conversation, Example, ImageRef, Message, Origin
from tunesmith.errors import DataError, ModelError, PictureError

GOLDEN = Path(__file__).parents[1] / "golden"
VISION = GOLDEN / "minicpmv2"
PICTURES = VISION / "pictures"
REAL = TextTokenizer.load(GOLDEN / "tokenizers" / "minicpm-v-2")
SMALL = TextTokenizer.load(VISION / "tokenizer")


def load(*path: str) -> Any:
    return json.loads(VISION.joinpath(*path).read_text(encoding="utf-8"))


def spread(runs: list[list[int]]) -> list[int]:
    return [token for token, count in runs for _ in range(count)]


def talk(messages: list[dict], picture: Path | str | None) -> Conversation:
    """A conversation as the formats give it: the picture on a line of its own, before the first question."""
    turns = [Message(message["role"], message["content"]) for message in messages]
    if picture is None:
        return Conversation(tuple(turns))
    turns[0] = replace(turns[0], content=f"<image>\n{turns[0].content}")
    return Conversation(tuple(turns), images=(ImageRef("<image>", str(picture)),))


def prompt(conversation: Conversation, chat: MiniCPMVChat, tokenizer: TextTokenizer) -> list[int]:
    pieces = _encode(chat.pieces(conversation, True), chat, tokenizer)
    return [*([1] if chat.bos else []), *(token for piece in pieces for token in piece)]


def row(conversation: Conversation, chat: MiniCPMVChat, tokenizer: TextTokenizer) -> Example:
    """A training row."""
    return render(conversation, chat, tokenizer)


def sized(*size: int) -> Any:
    return lambda path: size


# --- the published chat ----------------------------------------------------------------------------------------------

RUNS = [(case, run) for case in ("chat_noslice", "chat_sliced") for run in load(case, "case.json")["runs"]]


@pytest.mark.parametrize(("case", "run"), RUNS, ids=lambda value: value["run"] if isinstance(value, dict) else "")
def test_published_prompts(case: str, run: dict) -> None:
    chat = MiniCPMVChat(Slicing.of(load(case, "config.json")))
    conversation = talk(run["messages"], PICTURES / run["image"] if run.get("image") else None)
    assert "".join(piece.text for piece in chat.pieces(conversation, True)) == run["prompt_text"]
    ids = prompt(conversation, chat, SMALL)
    assert ids == spread(run["tokens_rle"])
    assert bounds(ids, SMALL) == [tuple(bound) for bound in run["image_bound"]]


SIZES = {None: (400, 400), (2, 1): (900, 420), (3, 2): (1300, 900)}


@pytest.mark.parametrize("case", load("tokenization_real", "case.json")["prompts"], ids=["single", "wide", "history"])
def test_published_ids_of_the_real_tokenizer(case: dict) -> None:
    grid = case["grid_cols_rows"] and tuple(case["grid_cols_rows"])
    chat = MiniCPMVChat(size=sized(*SIZES[grid]))
    ids = prompt(talk(case["messages"], "a.png"), chat, REAL)
    assert ids == spread(case["inference_prompt_tokens_rle"])
    conversation = talk(case["training_conversation"], "a.png")
    example = row(conversation, replace(MiniCPMVChat.published_script(), size=sized(*SIZES[grid])), REAL)
    assert example.input_ids == spread(case["training_tokens_rle"])
    assert [*example.labels[1:], IGNORE] == spread(case["training_labels_rle"])
    assert bounds(example.input_ids, REAL) == [tuple(bound) for bound in case["training_image_bound"]]
    ours = row(conversation, chat, REAL)
    if len(case["messages"]) == 1:
        assert ours.input_ids[: len(ids)] == ids
    assert [label for label in ours.labels if label != IGNORE] == [label for label in example.labels if label != IGNORE]


# --- the published fine-tuning script --------------------------------------------------------------------------------

RECORDS, ROWS = load("pictures", "conversations.json"), load("finetune_batch", "case.json")["per_sample"]


@pytest.mark.parametrize(
    ("record", "sample"), list(zip(RECORDS, ROWS, strict=True)), ids=["two turns", "no mark", "mark inside"]
)
def test_published_rows(record: dict, sample: dict) -> None:
    conversation = vision.parse(record, Origin(str(PICTURES / "conversations.json"), sample["sample"]))
    chat = MiniCPMVChat.published_script(Slicing.of(load("finetune_batch", "config.json")))
    example = row(conversation, chat, SMALL)
    assert example.input_ids == spread(sample["tokens_rle"])
    assert [*example.labels[1:], IGNORE] == spread(sample["labels_rle"])
    assert bounds(example.input_ids, SMALL) == [tuple(bound) for bound in sample["image_bound"]]
    encoded = _encode(chat.pieces(conversation, False), chat, SMALL)
    assert [*(token for piece in encoded for token in piece), 2] == example.input_ids


def test_the_two_published_ways_differ() -> None:
    conversation, parts = Conversation((Message("user", "What (small)"),)), []
    for layout in (MiniCPMVChat(), MiniCPMVChat.published_script()):
        ids = prompt(conversation, layout, REAL)
        parts.append([REAL.backend.id_to_token(token) for token in ids])
    assert parts[0] == ["<s>", "<", "用户", ">", "What", "▁(", "small", ")<", "AI", ">"]
    assert parts[1] == ["<", "用户", ">", "What", "▁(", "small", ")", "<", "AI", ">"]
    assert MiniCPMVChat().name != MiniCPMVChat.published_script().name


# --- training prompt = chat prompt -----------------------------------------------------------------------------------

texts = st.text(alphabet="你好a )(<>|\n1用户AI", min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=80, deadline=None)
@given(contents=st.lists(texts, min_size=2, max_size=6).filter(lambda c: len(c) % 2 == 0), seen=st.booleans())
@pytest.mark.parametrize("chat", [MiniCPMVChat(), MiniCPMVChat.published_script()], ids=["chat", "script"])
def test_prompt_of_a_row_is_what_chat_sends(chat: MiniCPMVChat, contents: list[str], seen: bool) -> None:
    chat = replace(chat, slicing=Slicing(84, 14, 9, 2), size=sized(200, 90))
    turns = [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(contents)]
    conversation = talk(turns, "a.png" if seen else None)
    example = row(conversation, chat, REAL)
    for number in range(1, len(contents), 2):
        sent = prompt(replace(conversation, messages=conversation.messages[:number]), chat, REAL)
        assert example.input_ids[: len(sent)] == sent
        assert example.labels[len(sent)] != IGNORE == example.labels[len(sent) - 1]
    pieces = _encode(chat.pieces(conversation, False), chat, REAL)
    assert [*([1] if chat.bos else []), *(token for piece in pieces for token in piece), 2] == example.input_ids
    for start, end in bounds(example.input_ids, REAL):
        assert set(example.labels[start - 1 : end + 1]) == {IGNORE}


# --- pieces ----------------------------------------------------------------------------------------------------------


def test_pieces_of_several_pictures() -> None:
    sizes: dict[str, Size] = {"a": (20, 20), "b": (200, 90)}
    slicing = Slicing(84, 14, 9, 2)
    images = (ImageRef("<image_01>", "b"), ImageRef("<image_00>", "a"))
    turns = (
        Message("user", "see <image_00><image_01>!"),
        Message("assistant", "<image_00>?", train=False),
        Message("user", "and"),
        Message("assistant", "", calls="{}"),
    )
    chat = MiniCPMVChat(slicing, size=sizes.__getitem__)
    pieces = chat.pieces(Conversation(turns, images=images), open_turn=True)
    first, second = placeholder(slicing.plan(20, 20)), placeholder(slicing.plan(200, 90))
    assert pieces == [
        Piece("<用户>see "),
        Piece(first, picture=1),
        Piece(second, picture=0),
        Piece("!<AI>"),
        Piece("<image_00>?", answer=True, ends=True),
        Piece("<用户>and<AI>"),
        Piece("{}", answer=True, learned=True, ends=True),
        Piece("<AI>"),
    ]
    fine = replace(chat, encoding="message").pieces(Conversation(turns, images=images), open_turn=False)
    assert [piece.text for piece in fine] == [
        *("<用户>", "see ", first, second, "!", "<AI>", "<image_00>?", "<用户>", "and", "<AI>", "{}")
    ]
    assert slicing.plan(200, 90) == Plan((126, 56), (2, 1), (84, 84), 2)


@pytest.mark.parametrize("chat", [MiniCPMVChat(), MiniCPMVChat.published_script()], ids=["chat", "script"])
def test_what_people_write_is_text(chat: MiniCPMVChat) -> None:
    """Typed tags are no tokens; the marks of places in a picture are."""
    said = "<image></image><slice></s><unk><box>1 2</box><ref>cat</ref>"
    turns = (Message("user", said), Message("assistant", said))
    encoded = _encode(chat.pieces(Conversation(turns), False), chat, REAL)
    ids = [token for piece in encoded for token in piece]
    assert not {0, 1, 2, 101, 102, 111, 112} & set(ids)
    assert [token for token in ids if 103 <= token <= 110] == [105, 106, 103, 104] * 2
    assert said in REAL.backend.decode(ids, skip_special_tokens=False)


def test_what_the_layout_cannot_hold(tmp_path: Path) -> None:
    chat, user = MiniCPMVChat(), Message("user", "hi")
    for conversation, said in (
        (Conversation((Message("system", "be kind"), user)), r"messages\[0\] is from 'system'"),
        (Conversation((user, Message("assistant", "a"), Message("tool", "b"))), "is from 'tool'"),
        (Conversation((user,), tools="[{}]"), "describes tools"),
        (Conversation((user,), images=(ImageRef("<image>", "a.png"),)), "stands 0 times"),
        (Conversation((Message("user", "<image><image>"),), images=(ImageRef("<image>", "a"),)), "stands 2 times"),
    ):
        with pytest.raises(DataError, match=said):
            chat.pieces(conversation, False)
    with pytest.raises(PictureError, match="does not exist"):
        chat.pieces(talk([{"role": "user", "content": "hi"}], tmp_path / "a.png"), True)
    with pytest.raises(ModelError, match="names no eos_token"):
        chat.stop_ids(TextTokenizer(SMALL.backend, {}))


def test_the_format_travels_to_workers() -> None:
    for chat in (MiniCPMVChat(Slicing(84)), MiniCPMVChat.published_script()):
        assert pickle.loads(pickle.dumps(chat)) == chat
        assert chat.stop_ids(SMALL) == (2,) and chat.stop_texts == ("<用户>", "<AI>")
