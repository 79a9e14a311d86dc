"""Broken twins: a valid file in another dress gives the same texts; a fault is named with its record, line and field."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tunesmith.cli import main
from tunesmith.data import flow
from tunesmith.data.chats import MarkerChat
from tunesmith.data.flow import Done, Work
from tunesmith.data.pipeline import Preparation
from tunesmith.data.sources import limits
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, Example, Origin
from tunesmith.errors import DataError

from . import twins
from .twins import DRESSES, FAULTS, NOT_IN_TABLES, SITES, TABLES, VALID, dumps, lines

MINICPM = TextTokenizer.load(Path(__file__).parents[1] / "golden" / "tokenizers" / "minicpm-2b")


def keep(conversations: list[Conversation], rows: list[list[Example]]) -> list[Conversation]:
    return conversations


class Outcome:
    """What became of a file: its conversations' texts, its bad records, and the error that ended it."""

    def __init__(self, path: Path | str) -> None:
        blocks: list[Done] = list(flow.survey([str(path)], Work(probe=keep)))
        self.path = str(path)
        self.talks = [talk for done in blocks for talk in done.probed or ()]
        self.bad = [error for done in blocks for error in done.bad]
        self.error = next((done.error for done in blocks if done.error is not None), None)
        self.formats = {done.format for done in blocks}

    @property
    def texts(self) -> list[list[str]]:
        return [said(talk) for talk in self.talks]

    @property
    def places(self) -> list[tuple[int, int | None, str]]:
        """Record, line and field of each bad record."""
        return [(e.origin.record, e.origin.line, e.field) for e in self.bad if isinstance(e.origin, Origin)]

    @property
    def message(self) -> str:
        """Return the error of the whole file, which must be one that a person can read."""
        assert isinstance(self.error, DataError), "the file is not refused"
        text = str(self.error)
        assert Path(self.path).name in text and "Traceback" not in text and len(text) < 2500
        return text


def said(talk: Conversation) -> list[str]:
    """All texts of a conversation, as twins.VALID has them."""
    texts = [talk.tools] if talk.tools else []
    texts += [m.calls + m.content + ("" if m.train else "!") for m in talk.messages]
    texts += [talk.text] if talk.text is not None else []
    texts += [f"-{talk.rejected.content}"] if talk.rejected is not None else []
    return texts + [image.mark for image in talk.images]


def put(folder: Path, name: str, data: bytes | str) -> Path:
    Image.new("RGB", (8, 6), "red").save(folder / twins.PICTURE)
    path = folder / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
    return path


def changed(data: bytes, at: int, to: int | None = None) -> bytes:
    """Change one byte."""
    copy = bytearray(data)
    copy[at] = copy[at] ^ 0x55 if to is None else to
    return bytes(copy)


def prepare(path: Path, on_bad: str = "stop") -> list[Example]:
    return list(Preparation(Work(MarkerChat(), MINICPM), on_bad).run([str(path)]))  # type: ignore[arg-type]


# --- the same records in another dress -------------------------------------------------------------------------------


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("format", VALID)
def test_the_same_texts_in_every_dress(format: str, dress: str, tmp_path: Path) -> None:
    path = put(tmp_path, "twin" + DRESSES[dress].suffix, DRESSES[dress].write(twins.records(format)))
    found = Outcome(path)
    assert (found.error, found.bad) == (None, [])
    assert found.texts == twins.expected(format)
    assert found.formats == {format}
    assert [talk.origin.record for talk in found.talks if talk.origin] == [0, 1, 2]
    assert "\r" not in "".join(map("".join, found.texts))


@pytest.mark.parametrize("dress", TABLES)
@pytest.mark.parametrize("format", [name for name in VALID if name not in NOT_IN_TABLES])
def test_the_same_texts_in_tables(format: str, dress: str, tmp_path: Path) -> None:
    path = put(tmp_path, "twin" + TABLES[dress].suffix, TABLES[dress].write(twins.records(format)))
    found = Outcome(path)
    assert (found.error, found.bad) == (None, [])
    assert found.texts == twins.expected(format)


@pytest.mark.parametrize("dress", twins.OLDER)
@pytest.mark.parametrize("format", VALID)
def test_the_same_texts_in_an_older_encoding(format: str, dress: str, tmp_path: Path) -> None:
    made = twins.without(twins.records(format), "\x85")
    found = Outcome(put(tmp_path, "twin" + twins.OLDER[dress].suffix, twins.OLDER[dress].write(made)))
    assert (found.error, found.bad) == (None, [])
    assert found.texts == twins.without(twins.expected(format), "\x85")


# --- one field at fault ----------------------------------------------------------------------------------------------

CASES = [(format, field, fault) for format, sites in SITES.items() for field in sites for fault in FAULTS]
LISTS = ("messages", "conversations", "content", "value", "prompt", "completion")
PARTS = {
    ("chosen", "object"): "chosen.role",
    ("chosen", "empty object"): "chosen.role",
    ("rejected", "object"): "rejected.role",
    ("rejected", "empty object"): "rejected.role",
    ("chosen", "list of numbers"): "rejected",  # one is a list, the other none: the second of the two is named
    ("rejected", "list of numbers"): "chosen",
}


def named(format: str, field: str, fault: str) -> str:
    """Return the field that must be named: the part of a list or message that is at fault, not the whole of it."""
    if fault == "list of numbers" and format != "advertisegen" and field.split(".")[-1] in LISTS:
        return f"{field}[0]"
    if fault == "missing" and format == "vision":  # both spellings are read; the format's own is asked for
        return field.replace("from", "role").replace("value", "content")
    return PARTS.get((field, fault), field)


@pytest.mark.parametrize(("format", "field", "fault"), CASES)
def test_a_field_at_fault_is_named(format: str, field: str, fault: str, tmp_path: Path) -> None:
    made = twins.records(format)
    made[1] = twins.with_fault(made[1], SITES[format][field], FAULTS[fault])
    path = put(tmp_path, "twin.jsonl", lines(made, ascii=True))
    found = Outcome(path)
    assert found.error is None
    assert found.places == [(1, 2, named(format, field, fault))]
    assert found.texts == [texts for n, texts in enumerate(twins.expected(format)) if n != 1]


@pytest.mark.parametrize(("format", "field"), [(format, field) for format, sites in SITES.items() for field in sites])
def test_a_misspelt_field_is_named(format: str, field: str, tmp_path: Path) -> None:
    made = twins.records(format)
    made[1], wrong = twins.misspelt(made[1], SITES[format][field])
    found = Outcome(put(tmp_path, "twin.json", dumps(made)))
    (error,) = found.bad
    head, dot, name = field.rpartition(".")
    assert found.error is None and isinstance(error.origin, Origin) and error.origin.record == 1
    assert error.field in (head + dot + wrong, named(format, field, "missing"))
    assert name in str(error) or "role" in str(error)


ORDERS: dict[str, tuple[list[str], str]] = {
    "assistant first": (["assistant", "user", "assistant"], "messages[0].role"),
    "tool first": (["tool", "assistant"], "messages[0].role"),
    "answer missing": (["user"], "messages[0].role"),
    "last answer missing": (["user", "assistant", "user"], "messages[2].role"),
    "ends with a tool": (["user", "assistant", "tool"], "messages[2].role"),
    "system alone": (["system"], "messages[0].role"),
    "no question": (["system", "assistant"], "messages[1].role"),
    "system in the middle": (["user", "system", "assistant"], "messages[1].role"),
    "system before the answer's turn": (["user", "assistant", "system", "user", "assistant"], "messages[2].role"),
    "two system messages": (["system", "system", "user", "assistant"], "messages[1].role"),
    "two user turns": (["user", "user", "assistant"], "messages[1].role"),
    "two answers": (["user", "assistant", "assistant"], "messages[2].role"),
    "tool after user": (["user", "tool", "assistant"], "messages[1].role"),
    "tool after system": (["system", "tool", "user", "assistant"], "messages[1].role"),
    "user after tool": (["user", "assistant", "tool", "user", "assistant"], "messages[3].role"),
    "unknown role": (["user", "narrator", "assistant"], "messages[1].role"),
    "role with a capital": (["User", "assistant"], "messages[0].role"),
    "role with a space": (["user", "assistant "], "messages[1].role"),
    "role of another format": (["human", "gpt"], "messages[0].role"),
    "role empty": (["", "assistant"], "messages[0].role"),
    "role in Chinese": (["用户", "assistant"], "messages[0].role"),
    "developer": (["developer", "user", "assistant"], "messages[0].role"),
}


@pytest.mark.parametrize("style", ["messages", "sharegpt", "vision"])
@pytest.mark.parametrize("fault", ORDERS)
def test_roles_in_a_wrong_order(fault: str, style: str, tmp_path: Path) -> None:
    roles, place = ORDERS[fault]
    who, what, field = ("role", "content", "messages") if style == "messages" else ("from", "value", "conversations")
    if style == "vision":
        who, what = "role", "content"
    elif style == "sharegpt":
        place = place.replace("role", "from")
        roles = {"role of another format": ["narrator", "gpt"]}.get(fault, roles)
    elif fault == "role of another format":
        roles = ["human", "gpt"]
    if fault == "role of another format" and style == "vision":
        roles = ["narrator", "gpt"]
    made = twins.records(style)
    made[1] = {field: [{who: role, what: f"说{n}"} for n, role in enumerate(roles)]}
    if style == "vision":
        made[1]["image"] = twins.PICTURE
    found = Outcome(put(tmp_path, "twin.jsonl", lines(made)))
    assert found.error is None
    assert found.places == [(1, 2, place.replace("messages", field))]
    assert found.texts == [texts for n, texts in enumerate(twins.expected(style)) if n != 1]


U, A = {"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}
CALL = {"name": "f", "arguments": {"x": 1}}
RECORDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "from and value in messages": ("messages", {"messages": [{"from": "human", "value": "a"}, A]}, "messages[0].from"),
    "train as a text": ("messages", {"messages": [U, {**A, "train": "false"}]}, "messages[1].train"),
    "train as a number": ("messages", {"messages": [U, {**A, "train": 0}]}, "messages[1].train"),
    "weight of a half": ("messages", {"messages": [U, {**A, "weight": 0.5}]}, "messages[1].weight"),
    "weight against train": ("messages", {"messages": [U, {**A, "weight": 0, "train": True}]}, "messages[1].weight"),
    "messages as a text": ("messages", {"messages": "问：答"}, "messages"),
    "messages as an object": ("messages", {"messages": {"0": U}}, "messages"),
    "no message": ("messages", {"messages": []}, "messages"),
    "a message that is a list": ("messages", {"messages": [["user", "问"], A]}, "messages[0]"),
    "a message that is a text": ("messages", {"messages": [U, "答"]}, "messages[1]"),
    "lists of messages": ("messages", {"messages": [[U, A]]}, "messages[0]"),
    "thoughts": ("messages", {"messages": [U, {**A, "reasoning_content": "想"}]}, "messages[1].reasoning_content"),
    "a video": ("messages", {"messages": [U, A], "videos": ["a.mp4"]}, "videos"),
    "a picture that is missing": ("messages", {"messages": [{**U, "content": "<image>"}, A], "images": ["no.jpg"]}, "images[0]"),
    "more pictures than marks": ("messages", {"messages": [U, A], "images": [twins.PICTURE]}, "images"),
    "fewer pictures than marks": ("messages", {"messages": [{**U, "content": "<image>"}, A], "images": []}, "images"),
    "a picture as a number": ("messages", {"messages": [{**U, "content": "<image>"}, A], "images": [5]}, "images[0]"),
    "tools that are no JSON": ("messages", {"messages": [U, A], "tools": "[{"}, "tools"),
    "tools that are a number": ("messages", {"messages": [U, A], "tools": 5}, "tools"),
    "a tool that is a text": ("messages", {"messages": [U, A], "tools": ["f"]}, "tools[0]"),
    "a call without a name": (
        "messages",
        {"messages": [U, {"role": "assistant", "tool_calls": [{"arguments": {}}]}, {"role": "tool", "content": "1"}, A]},
        "messages[1].tool_calls[0].name",
    ),
    "arguments that are no JSON": (
        "messages",
        {"messages": [U, {"role": "assistant", "tool_calls": [{"function": {**CALL, "arguments": "{x"}}]}, U, A]},
        "messages[1].tool_calls[0].function.arguments",
    ),
    "a user who calls": ("messages", {"messages": [{**U, "tool_calls": [CALL]}, A]}, "messages[0].tool_calls"),
    "a part of another kind": (
        "messages",
        {"messages": [{"role": "user", "content": [{"type": "audio", "audio": "a.wav"}]}, A]},
        "messages[0].content[0]",
    ),
    "a call that is no JSON": (
        "sharegpt",
        {
            "conversations": twins.turns("from", "value", ("human", "问"), ("function_call", "f(1)"))
            + twins.turns("from", "value", ("observation", "1"), ("gpt", "答"))
        },
        "conversations[1].value",
    ),
    "a call that is cut off": (
        "sharegpt",
        {
            "conversations": twins.turns("from", "value", ("human", "问"), ("function_call", twins.CALL[:-1]))
            + twins.turns("from", "value", ("observation", "1"), ("gpt", "答"))
        },
        "conversations[1].value",
    ),
    "system as a number": ("sharegpt", {"system": 5, "conversations": [U, A]}, "system"),
    "history of one": ("alpaca", {"instruction": "问", "output": "答", "history": [["一"]]}, "history[0]"),
    "history of three": ("alpaca", {"instruction": "问", "output": "答", "history": [["一", "二", "三"]]}, "history[0]"),
    "history flat": ("alpaca", {"instruction": "问", "output": "答", "history": ["一", "1"]}, "history[0]"),
    "history as a text": ("alpaca", {"instruction": "问", "output": "答", "history": "一"}, "history"),
    "history as an object": ("alpaca", {"instruction": "问", "output": "答", "history": {"一": "1"}}, "history"),
    "history of numbers": ("alpaca", {"instruction": "问", "output": "答", "history": [["一", 1]]}, "history[0][1]"),
    "history without an answer": ("alpaca", {"instruction": "问", "output": "答", "history": [["一", ""]]}, "history[0][1]"),
    "history of null": ("alpaca", {"instruction": "问", "output": "答", "history": [[None, "1"]]}, "history[0][0]"),
    "input as a number": ("alpaca", {"instruction": "问", "input": 5, "output": "答"}, "input"),
    "input misspelt": ("alpaca", {"instruction": "问", "imput": "数", "output": "答"}, "imput"),
    "question blank, input blank": ("alpaca", {"instruction": " ", "input": "\n", "output": "答"}, "instruction"),
    "the picture is missing": ("vision", {"image": "no.jpg", "conversations": [U, A]}, "image"),
    "the picture is a folder": ("vision", {"image": ".", "conversations": [U, A]}, "image"),
    "the picture is an address": ("vision", {"image": "https://a.b/c.jpg", "conversations": [U, A]}, "image"),
    "the picture is a number": ("vision", {"image": 5, "conversations": [U, A]}, "image"),
    "two marks, one picture": (
        "vision",
        {"image": twins.PICTURE, "conversations": [{**U, "content": "<image><image>"}, A]},
        "conversations[0]",
    ),
    "a mark in the answer": (
        "vision",
        {"image": twins.PICTURE, "conversations": [U, {**A, "content": "<image>"}]},
        "conversations[1]",
    ),
    "a mark without a picture": (
        "vision",
        {"image": {"<image_00>": twins.PICTURE}, "conversations": [{**U, "content": "<image_00><image_01>"}, A]},
        "conversations[0]",
    ),
    "a picture without a mark": (
        "vision",
        {"image": {"<image_00>": twins.PICTURE}, "conversations": [U, A]},
        "image.<image_00>",
    ),
    "equal answers": ("preference", {"prompt": "问", "chosen": "答", "rejected": "答"}, "rejected"),
    "no question": ("preference", {"chosen": "答", "rejected": "不"}, "prompt"),
    "question misspelt": ("preference", {"promt": "问", "chosen": "答", "rejected": "不"}, "prompt"),
    "two questions": ("preference", {"prompt": "问", "question": "问?", "chosen": "答", "rejected": "不"}, "question"),
    "different questions": ("preference", {"chosen": [U, A], "rejected": [{**U, "content": "别的"}, {**A, "content": "不"}]}, "rejected"),
    "the user chosen": ("preference", {"prompt": "问", "chosen": {**U}, "rejected": "不"}, "chosen.role"),
    "a second answer": ("completion", {"prompt": "问", "completion": "答", "response": "也"}, "response"),
    "a context that nobody reads": ("completion", {"prompt": "问", "completion": "答", "context": "文"}, "context"),
    "no agreement": ("ocnli", {"sentence1": "甲", "sentence2": "乙", "label": "-"}, "label"),
    "label unknown": ("ocnli", {"sentence1": "甲", "sentence2": "乙", "label": "Neutral"}, "label"),
    "label as a number": ("ocnli", {"sentence1": "甲", "sentence2": "乙", "label": 1}, "label"),
    "a picture beside the text": ("text", {"text": "文", "image": "a.jpg"}, "image"),
}  # fmt: skip
"""A format and a record that stands second in its file, and the field that must be named."""


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_at_fault_is_named(name: str, tmp_path: Path) -> None:
    format, record, field = RECORDS[name]
    made = twins.records(format)
    made[1] = record
    path = put(tmp_path, "twin.jsonl", lines(made))
    found = Outcome(path)
    assert found.error is None
    assert found.places == [(1, 2, field)]
    assert found.texts == [texts for n, texts in enumerate(twins.expected(format)) if n != 1]
    if format != "vision":  # a model that reads texts alone refuses the others
        with pytest.raises(DataError) as caught:
            prepare(path)
        assert f"1 of 3 records cannot be used:\n  {path}, record 1, line 2, field '{field}': " in str(caught.value)
        assert [row.origin for row in prepare(path, "skip")] == [Origin(str(path), 0, 1), Origin(str(path), 2, 3)]


# --- one line that is no record --------------------------------------------------------------------------------------


def in_second_line(change: Callable[[str], str | bytes]) -> bytes:
    """A file of three lines, the second changed."""
    first, second, third = (dumps(record) for record in twins.records("completion"))
    changed = change(second)
    return b"\n".join((first.encode(), changed if isinstance(changed, bytes) else changed.encode(), third.encode()))


GOOD = '{"prompt": "问", "completion": "答"}'
LINES: dict[str, tuple[Callable[[str], str | bytes], str, str]] = {
    "comma behind the last field": (lambda _: '{"prompt": "问", "completion": "答",}', "(record)", "comma too many"),
    "comma missing": (lambda _: '{"prompt": "问" "completion": "答"}', "(record)", "A comma or a closing bracket"),
    "colon missing": (lambda _: '{"prompt" "问", "completion": "答"}', "(record)", "Expecting ':'"),
    "single quotes": (lambda _: "{'prompt': '问', 'completion': '答'}", "(record)", "single quotes"),
    "no quotes": (lambda _: "{prompt: 问, completion: 答}", "(record)", "not valid JSON"),
    "typographic quotes": (lambda _: "{“prompt”: “问”, “completion”: “答”}", "(record)", "typographic quote"),
    "full-width colon": (lambda _: '{"prompt"："问", "completion": "答"}', "(record)", "not valid JSON"),
    "Python's None": (lambda _: '{"prompt": "问", "completion": None}', "(record)", "Python's spelling"),
    "a comment behind": (lambda line: line + "  // gut", "(record)", "JSON has no comments"),
    "a comment alone": (lambda _: "# gut", "(record)", "JSON has no comments"),
    "a comment inside": (lambda _: '{/* gut */ "prompt": "问", "completion": "答"}', "(record)", "no comments"),
    "comma behind the record": (lambda line: line + ",", "(record)", "A comma stands between records"),
    "two records in a line": (lambda line: line + GOOD, "(record)", "Write one object a line"),
    "brackets missing": (lambda _: '"prompt": "问", "completion": "答"', "(record)", "it is not an object"),
    "cut off": (lambda line: line[: len(line) // 2], "(record)", "not valid JSON"),
    "cut behind a colon": (lambda _: '{"prompt": "问", "completion":', "(record)", "in the middle of a record"),
    "a quote not escaped": (lambda _: '{"prompt": "他说"好"", "completion": "答"}', "(record)", "lacks its backslash"),
    "a backslash not doubled": (lambda _: r'{"prompt": "C:\Windows", "completion": "答"}', "(record)", "A backslash"),
    "half an escape": (lambda _: r'{"prompt": "\u12", "completion": "答"}', "(record)", "not valid JSON"),
    "a raw tab": (lambda _: '{"prompt": "一\t二", "completion": "答"}', "(record)", "raw line break or tab"),
    "a raw control character": (lambda _: '{"prompt": "一\x01二", "completion": "答"}', "(record)", "A text holds a raw"),
    "a number": (lambda _: "5", "(record)", "it is not an object but 5"),
    "a text": (lambda _: '"问"', "(record)", "it is not an object"),
    "null": (lambda _: "null", "(record)", "it is not an object but null"),
    "a list": (lambda _: f"[{GOOD}]", "(record)", "it is not an object but a list"),
    "nested lists": (lambda _: "[[[]]]", "(record)", "it is not an object but a list"),
    "an empty object": (lambda _: "{}", "prompt", "missing"),
    "a byte order mark inside": (lambda line: "\ufeff" + line, "(record)", "not valid JSON"),
    "a web page": (lambda _: "<html>429 Too Many Requests</html>", "(record)", "not valid JSON"),
    "a deep nest": (lambda _: '{"prompt": ' + "[" * 100_000 + "]" * 100_000 + "}", "(record)", "ested"),
    "a deep nest in a field that nobody reads": (
        lambda _: GOOD[:-1] + ', "x": ' + '{"x":' * 5_000 + "1" + "}" * 5_000 + "}",
        "(record)",
        "ested",
    ),
    "a nest that is not closed": (lambda _: '{"prompt": ' + "[" * 100_000, "(record)", "ested"),
    "a number of 5000 digits": (lambda _: GOOD[:-1] + f', "n": {"9" * 5000}}}', "(record)", "digits"),
    "NaN for a text": (lambda _: '{"prompt": "问", "completion": NaN}', "completion", "it is a number"),
    "Infinity for a text": (lambda _: '{"prompt": -Infinity, "completion": "答"}', "prompt", "it is a number"),
    "a field twice": (lambda _: '{"prompt": "问", "completion": "答", "prompt": "?"}', "prompt", "stands twice"),
    "a field twice, the same": (lambda _: GOOD[:-1] + ', "completion": "答"}', "completion", "stands twice"),
    "a field twice, inside": (lambda _: GOOD[:-1] + ', "m": [{"a": 1, "a": 2}]}', "a", "stands twice"),
    "half a surrogate pair": (lambda _: r'{"prompt": "\ud83d", "completion": "答"}', "prompt", "half of a surrogate pair"),
    "a surrogate pair turned round": (lambda _: r'{"prompt": "问", "completion": "\ude00\ud83d"}', "completion", "half"),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_line_at_fault_is_named(name: str, tmp_path: Path) -> None:
    change, field, words = LINES[name]
    path = put(tmp_path, "twin.jsonl", in_second_line(change))
    found = Outcome(path)
    assert found.error is None
    assert found.places == [(1, 2, field)]
    assert words in str(found.bad[0]) and len(str(found.bad[0])) < 500
    assert found.texts == [twins.expected("completion")[n] for n in (0, 2)]
    with pytest.raises(DataError, match="1 of 3 records cannot be used") as caught:
        prepare(path)
    assert f"{path}, record 1, line 2, field '{field}': " in str(caught.value)


@pytest.mark.parametrize("name", LINES)
def test_the_same_fault_in_a_list(name: str, tmp_path: Path) -> None:
    """In a list a record that is no JSON ends the file: nobody can say where the next one begins."""
    change, field, _ = LINES[name]
    first, second, third = (dumps(record) for record in twins.records("completion"))
    changed = change(second)
    assert isinstance(changed, str)
    found = Outcome(put(tmp_path, "twin.json", f"[{first},\n{changed},\n{third}]"))
    if name in ("a number", "a text", "null", "a list", "nested lists") or field != "(record)":
        assert (found.error, found.places) == (None, [(1, 2, field)])
        assert found.texts == [twins.expected("completion")[n] for n in (0, 2)]
    else:
        assert re.search(r"twin\.json, line 2, column \d+ \(record [12]\): it is not valid JSON\. \S", found.message)


def test_a_raw_line_break_in_a_text_makes_two_broken_lines(tmp_path: Path) -> None:
    found = Outcome(put(tmp_path, "twin.jsonl", in_second_line(lambda _: '{"prompt": "一\n二", "completion": "答"}')))
    assert found.places == [(1, 2, "(record)"), (2, 3, "(record)")]
    assert [talk.origin for talk in found.talks] == [Origin(found.path, 0, 1), Origin(found.path, 3, 4)]


SAME_LINES: dict[str, tuple[str, list[str]]] = {
    "NUL": (r'{"prompt": "a\u0000b", "completion": "答"}', ["a\0b", "答"]),
    "escaped pair": (r'{"prompt": "\ud83d\uDE00\uD83D\ude00", "completion": "\u7b54"}', ["😀😀", "答"]),
    "escaped separators": (r'{"prompt": "a\u2028\u2029\u0085b", "completion": "\/"}', ["a\u2028\u2029\x85b", "/"]),
    "escaped tab": (r'{"prompt": "\t问\f\b", "completion": "答\n"}', ["\t问\f\b", "答\n"]),
    "two backslashes": (r'{"prompt": "C:\\new", "completion": "\\"}', ["C:\\new", "\\"]),
    "no space": ('{"prompt":"问","completion":"答"}', ["问", "答"]),
    "much space": ('{ "prompt" :\t"问" , "completion" : "答" }', ["问", "答"]),
    "big numbers": (
        '{"id": 123456789012345678901234567890, "x": 1e999, "prompt": "问", "completion": "答"}',
        ["问", "答"],
    ),
    "odd names": ('{"": 1, "a\u2028b": 2, "😀": 3, "prompt": "问", "completion": "答"}', ["问", "答"]),
    "marks": (
        '{"prompt": "<用户></s><|im_end|>", "completion": "<AI>{{ x }}"}',
        ["<用户></s><|im_end|>", "<AI>{{ x }}"],
    ),
    "JSON in a text": ('{"prompt": "[1", "completion": "{\\"a\\": null}"}', ["[1", '{"a": null}']),
    "HTML in a text": ('{"prompt": "<p>问</p>", "completion": "&lt;"}', ["<p>问</p>", "&lt;"]),
}


@pytest.mark.parametrize("container", ["lines", "list"])
@pytest.mark.parametrize("name", SAME_LINES)
def test_a_line_that_is_odd_but_valid(name: str, container: str, tmp_path: Path) -> None:
    line, texts = SAME_LINES[name]
    content = "\n".join([line] * 3) if container == "lines" else "[" + ",".join([line] * 3) + "]"
    found = Outcome(put(tmp_path, "twin.json", content))
    assert (found.error, found.bad) == (None, [])
    assert found.texts == [texts] * 3


def test_conversations_with_roles_and_without_pictures(tmp_path: Path) -> None:
    """MiniCPM-V's shape without its field `image` is a plain conversation."""
    found = Outcome(put(tmp_path, "twin.json", dumps([{"conversations": [U, A]}] * 3)))
    assert (found.error, found.bad, found.texts) == (None, [], [["问", "答"]] * 3)


# --- a file at fault -------------------------------------------------------------------------------------------------

ROWS = lines(twins.records("completion"))
LIST = dumps(twins.records("completion"))
FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": (".jsonl", b"", "is empty"),
    "empty csv": (".csv", b"", "is empty"),
    "empty txt": (".txt", b"", "is empty"),
    "white space": (".jsonl", b" \n\t\r\n ", "is empty"),
    "a byte order mark alone": (".jsonl", b"\xef\xbb\xbf", "is empty"),
    "an empty list": (".json", b"[]", "empty list"),
    "an empty list, spaced": (".json", b" [ \n ] ", "empty list"),
    "an empty object": (".json", b"{}", "no format fits"),
    "empty objects": (".jsonl", b"{}\n{}\n", "no format fits"),
    "a list of lists": (".json", f"[{LIST}]".encode(), "no format fits"),
    "a list of texts": (".json", '["问", "答"]'.encode(), "no format fits"),
    "a list of numbers": (".json", b"[1, 2.5, -3]", "no format fits"),
    "a number": (".json", b"5", "it is not JSON"),
    "a text": (".json", '"问"'.encode(), "it is not JSON"),
    "null": (".json", b"null", "it is not JSON"),
    "prose": (".jsonl", "床前明月光，\n疑是地上霜。\n".encode(), "it begins with '床前明月光，'"),
    "a list inside an object": (".json", f'{{"data": {LIST}}}'.encode(), "Its 'data' is a list of 3 objects"),
    "records by name": (".json", f'{{"a": {GOOD}, "b": {GOOD}}}'.encode(), "no format fits"),
    "a web page": (".jsonl", b"<!DOCTYPE html>\n<html><head>", "is a web page"),
    "a web page called csv": (".csv", b"<!DOCTYPE html>\n<html><head>", "is a web page"),
    "an LFS pointer": (".jsonl", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS"),
    "an LFS pointer called csv": (".csv", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "Git LFS"),
    "an LFS pointer called parquet": (".parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 1\n", "Git LFS"),
    "a picture": (".json", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0", "is a binary file"),
    "random bytes": (".jsonl", bytes((n * 73 + n // 7) % 256 for n in range(3000)), "twin.jsonl"),
    "zero bytes": (".jsonl", b"\0" * 500, "is a binary file"),
    "zero bytes at the end": (".jsonl", ROWS.encode() + b"\0" * 500, "twin.jsonl"),
    "a zip": (".json", b"PK\x03\x04" + b"\0" * 30, "a ZIP archive"),
    "a tar": (".jsonl", b"a.jsonl".ljust(257, b"\0") + b"ustar\x0000", "is a tar archive"),
    "bzip2": (".jsonl", bz2.compress(ROWS.encode()), "a bzip2 archive"),
    "xz": (".jsonl", lzma.compress(ROWS.encode()), "an xz archive"),
    "gzip of nothing": (".jsonl.gz", gzip.compress(b"", mtime=0), "is empty"),
    "gzip in gzip": (".jsonl.gz", gzip.compress(gzip.compress(ROWS.encode(), mtime=0), mtime=0), "inside of another archive"),
    "gzip, a byte changed": (".jsonl.gz", changed(gzip.compress(ROWS.encode(), mtime=0), 40), "gzip"),
    "gzip, the sum changed": (".jsonl.gz", changed(gzip.compress(ROWS.encode(), mtime=0), -6), "gzip"),
    "gzip and more": (".jsonl.gz", gzip.compress(ROWS.encode(), mtime=0) + b"more", "goes on with something else"),
    "zstd, a byte changed": (".jsonl.zst", changed(twins.zstd(ROWS.encode()), 60), "Zstandard"),
    "gzip of Parquet": (".parquet.gz", gzip.compress(twins.as_parquet(twins.records("text")), mtime=0), "Parquet"),
    "Parquet without rows": (".parquet", twins.as_parquet([]), "empty"),
    "two Parquet files in one": (".parquet", twins.as_parquet(twins.records("text")) * 2, "Parquet"),
    "two Arrow streams in one": (".arrow", twins.as_arrow(twins.records("text")) * 2, "Arrow"),
    "Arrow and more": (".arrow", twins.as_arrow(twins.records("text")) + b"more", "Arrow"),
    "Parquet, the end changed": (".parquet", changed(twins.as_parquet(twins.records("text")), -7), "Parquet"),
    "one broken byte": (".jsonl", changed(ROWS.encode(), -20, 0xFF), "line 3: it is not UTF-8"),
    "one broken byte in a list": (".json", changed(LIST.encode(), len(LIST.encode()) - 30, 0xFF), "it is not UTF-8"),
    "UTF-16 cut in a character": (".jsonl", ROWS.encode("utf-16")[:-1], "twin.jsonl"),
    "GB18030 and UTF-8": (".jsonl", (ROWS * 9).replace("\x85", "").encode("gb18030") + ROWS.encode(), "twin.jsonl"),
    "two lists": (".json", f"{LIST}\n{LIST}".encode(), "line 2, column 1: the list of 3 records is over"),
    "a list and lines": (".json", f"{LIST}\n{ROWS}".encode(), "line 2, column 1: the list of 3 records is over"),
    "a list with a comma at its end": (".json", f"{LIST[:-1]},]".encode(), "comma too many"),
    "a list without a comma": (".json", LIST.replace("}, {", "} {", 1).encode(), "A comma or a closing bracket"),
    "a list that is not closed": (".json", LIST[:-1].encode(), "middle of a record"),
    "a list that ends in a comma": (".json", f"{LIST[:-1]},".encode(), "middle of a record"),
    "a list that begins with a comma": (".json", f"[,{LIST[1:]}".encode(), "record 0"),
    "a Python list": (".json", str(twins.records("completion")).encode(), "single quotes"),
    "two formats": (".jsonl", (ROWS + lines(twins.records("alpaca"))).encode(), "mixes formats: record"),
    "a judged record among others": (".jsonl", lines([*twins.records("alpaca"), {"instruction": "问", "output": "答", "label": False}]).encode(), "mixes formats"),
    "two formats in each record": (".jsonl", lines([{"messages": [U, A], "instruction": "问", "output": "答"}]).encode(), "fit several formats"),
    "CSV without a header": (".csv", '"问，","一个很长的答案。"\n"又问。","又答。"\n'.encode(), "must name the columns"),
    "CSV with a header alone": (".csv", b"prompt,completion\n", "no row under its header"),
    "CSV with a column twice": (".csv", b"prompt,completion,prompt\na,b,c\n", "two columns are called 'prompt'"),
    "CSV with a column without name": (".csv", b",prompt,completion\n0,a,b\n", "has no name"),
    "CSV with a zero byte": (".csv", b"prompt,completion\na,b\0c\n", "twin.csv"),
    "CSV of other columns": (".csv", b"foo,bar\na,b\n", "no format fits"),
    "CSV in UTF-8 with a broken byte": (".csv", 'prompt,completion\n问你好吗,答\n问,'.encode() + b"\xe4\xbd\n", "line 3: it is not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_at_fault_is_refused(name: str, tmp_path: Path) -> None:
    suffix, data, words = FILES[name]
    path = put(tmp_path, f"twin{suffix}", data)
    assert words in Outcome(path).message
    for on_bad in ("stop", "skip"):
        with pytest.raises(DataError) as caught:
            prepare(path, on_bad)
        assert "twin" in str(caught.value)


TABLE_ROWS: dict[str, tuple[str, str, list[tuple[int, int, str]]]] = {
    "a cell missing": (".csv", "prompt,completion\n一,二\n三\n五,六\n", [(1, 3, "completion")]),
    "a cell empty": (".csv", "prompt,completion\n一,二\n三,\n五,六\n", [(1, 3, "completion")]),
    "a cell blank": (".csv", "prompt,completion\n一,二\n  ,四\n五,六\n", [(1, 3, "prompt")]),
    "a cell too many": (".csv", "prompt,completion\n一,二\n三,四,四\n五,六\n", [(1, 3, "(record)")]),
    "a quote inside": (".csv", 'prompt,completion\n一,二\n三,"四"四\n五,六\n', [(1, 3, "(record)")]),
    "a quote not closed": (".csv", 'prompt,completion\n一,二\n五,六\n三,"四\n', [(2, 4, "(record)")]),
    "lines in cells": (".csv", 'prompt,completion\n"一\n一",二\n三,\n"五\r\n五",六\n', [(1, 4, "completion")]),
    "a tab too many": (".tsv", "prompt\tcompletion\n一\t二\n三\t四\t\n五\t六\n", [(1, 3, "(record)")]),
    "broken JSON in a cell": (".csv", 'instruction,output,history\n一,二,[]\n三,四,"[[""a"""\n五,六,\n', [(1, 3, "history")]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE_ROWS)
def test_a_row_of_a_table_at_fault_is_named(name: str, tmp_path: Path) -> None:
    suffix, text, places = TABLE_ROWS[name]
    found = Outcome(put(tmp_path, f"twin{suffix}", text))
    assert found.error is None
    assert found.places == places
    assert [texts[-1] for texts in found.texts] == ["二", "六"]


@pytest.mark.parametrize("write", [twins.as_parquet, twins.as_arrow], ids=["Parquet", "Arrow"])
@pytest.mark.parametrize("column", ["prompt", "completion"])
def test_null_and_empty_cells_of_a_binary_table(write: Any, column: str, tmp_path: Path) -> None:
    made = [{"prompt": f"问{n}", "completion": f"答{n}"} for n in range(5)]
    made[1][column], made[3][column] = None, ""  # type: ignore[assignment]
    found = Outcome(put(tmp_path, "twin.parquet", write(made)))
    assert found.places == [(1, None, column), (3, None, column)]
    assert found.texts == [[f"问{n}", f"答{n}"] for n in (0, 2, 4)]


# --- cut off ---------------------------------------------------------------------------------------------------------


def refused(found: Outcome) -> bool:
    return found.error is not None or bool(found.bad)


@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".txt"])
def test_lines_cut_anywhere(suffix: str, end: str, tmp_path: Path) -> None:
    made = [{"prompt": f"问{n}😀\\", "completion": f'"答"\u2028{n}\n'} for n in range(3)]
    data = lines(made, end).encode()
    ends = [len(lines(made[: n + 1], "").encode()) + n * len(end) for n in range(3)]
    path = tmp_path / f"twin{suffix}"
    for cut in range(2 if suffix == ".txt" else 0, len(data)):  # a text that begins as nothing else is prose
        path.write_bytes(data[:cut])
        found = Outcome(path)
        whole = sum(cut >= at for at in ends)
        assert [texts[0] for texts in found.texts] == [f"问{n}😀\\" for n in range(whole)], cut
        assert refused(found) != any(at <= cut <= at + len(end) for at in ends), cut


@pytest.mark.parametrize("indent", [None, 1])
def test_lists_cut_anywhere(indent: int | None, tmp_path: Path) -> None:
    data = dumps([{"prompt": "问😀", "completion": "答\u2028"}] * 3, indent=indent).encode()
    path = tmp_path / "twin.json"
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        found = Outcome(path)
        assert "twin.json" in found.message, cut
        assert found.texts == [["问😀", "答\u2028"]] * len(found.texts)
    path.write_bytes(data)
    assert not refused(Outcome(path))


PACKED: dict[str, tuple[str, bytes]] = {
    "gzip": (".jsonl.gz", gzip.compress(lines([json.loads(GOOD)] * 3).encode(), mtime=0)),
    "zstd": (".jsonl.zst", twins.zstd(lines([json.loads(GOOD)] * 3).encode())),
    "UTF-16": (".jsonl", lines([json.loads(GOOD)] * 1).rstrip("\n").encode("utf-16")),
    "Parquet": (".parquet", twins.as_parquet([json.loads(GOOD)] * 3)),
    "Arrow": (".arrow", twins.as_arrow([json.loads(GOOD)] * 3)),
}


@pytest.mark.parametrize("name", PACKED)
def test_packed_files_cut_anywhere(name: str, tmp_path: Path) -> None:
    """Nothing less than the whole file is taken, however many of its records could be read."""
    suffix, data = PACKED[name]
    path = tmp_path / f"twin{suffix}"
    for cut in range(0, len(data) - 1, max(1, len(data) // 300)):
        path.write_bytes(data[:cut])
        found = Outcome(path)
        assert refused(found), cut
        assert all(texts == ["问", "答"] for texts in found.texts)
    path.write_bytes(data)
    assert not refused(Outcome(path))


def test_a_table_cut_anywhere(tmp_path: Path) -> None:
    """Where every cell is quoted, a cut within a row is seen."""
    rows = ['"prompt","completion"\n', *(f'"问{n}，\n","答{n}"\n' for n in range(3))]
    ends = [len("".join(rows[: n + 1]).encode()) for n in range(4)]
    data, path = "".join(rows).encode(), tmp_path / "twin.csv"
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        found = Outcome(path)
        whole = max(0, sum(cut >= at - 1 for at in ends) - 1)
        assert found.texts[:whole] == [[f"问{n}，\n", f"答{n}"] for n in range(whole)], cut
        assert refused(found) or cut in [at - more for at in ends[1:] for more in (0, 1)], cut


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "before", "after"),
    [
        (".jsonl", '{"prompt": "a", "completion": "b"}\n{"prompt": "', '", "completion": "b"}\n'),
        (".json", '[{"prompt": "a", "completion": "b"},\n{"prompt": "', '", "completion": "b"}]'),
        (".json", '{"prompt": "a",\n"completion": "b"}\n{"prompt": "', '", "completion": "b"}'),
        (".csv", 'prompt,completion\na,b\n"', '",b\n'),
    ],
    ids=["lines", "list", "objects", "table"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_record_beyond_the_limit(
    suffix: str, before: str, after: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MAX_RECORD": 10_000, "CHUNK": 1000, "HEAD": 2000}.items():
        monkeypatch.setattr(limits, name, value)
    data = (before + "长" * 20_000 + after).encode()
    found = Outcome(put(tmp_path, f"twin{suffix}{'.gz' * packed}", gzip.compress(data, mtime=0) if packed else data))
    assert "10000 bytes, which is the limit for one record" in found.message or "which is the limit" in found.message
    assert "line 2" in found.message or "line 3" in found.message


def test_records_below_the_limit_are_whole_however_they_are_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"CHUNK": 7, "HEAD": 64, "BLOCK_RECORDS": 1, "BLOCK_SIZE": 50}.items():
        monkeypatch.setattr(limits, name, value)
    for dress in ("lines", "CRLF", "list with CRLF", "objects over lines", "gzip", "UTF-16 list", "blank lines"):
        made = [{**record, "id": n} for n, record in enumerate(twins.records("sharegpt"))]
        path = put(tmp_path, "twin" + DRESSES[dress].suffix, DRESSES[dress].write(made))
        found = Outcome(path)
        assert (found.error, found.bad) == (None, []), dress
        assert found.texts == twins.expected("sharegpt"), dress


# --- no file at all --------------------------------------------------------------------------------------------------


def not_there(folder: Path) -> dict[str, Path]:
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "sub").mkdir()
    (folder / "good.jsonl").write_text(ROWS, encoding="utf-8")
    (folder / "dangling.jsonl").symlink_to(folder / "nothing")
    return {
        "There is no file": folder / "goood.jsonl",
        "does not exist either": folder / "nowhere" / "good.jsonl",
        "is no ordinary file": folder / "pipe.jsonl",
        "holds no data file": folder / "sub",
        "There is no file ": folder / "dangling.jsonl",
    }


def test_what_is_no_file_is_said(tmp_path: Path) -> None:
    for words, path in not_there(tmp_path).items():
        with pytest.raises(DataError, match=words) as caught:
            prepare(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
        if path.name != "sub":
            assert words.strip() in Outcome(path).message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = put(tmp_path, "twin.jsonl", ROWS)
    path.chmod(0)
    assert "cannot be read: Permission denied" in Outcome(path).message


def test_a_folder_and_a_device(tmp_path: Path) -> None:
    put(tmp_path, "twin.jsonl", ROWS)
    assert "is a folder, not a file of records. It holds twin.jsonl" in Outcome(tmp_path).message
    assert len(prepare(tmp_path)) == 3, "a folder stands for its files"
    found = list(flow.survey(["/dev/null"], Work()))
    assert len(found) == 1 and "is no ordinary file" in str(found[0].error)


# --- the command line ------------------------------------------------------------------------------------------------

COMMANDS = {name: (suffix, data) for name, (suffix, data, _) in list(FILES.items())[::4]}
COMMANDS |= {name: (".jsonl", in_second_line(change)) for name, (change, _, _) in list(LINES.items())[::5]}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_command_line_says_it_without_a_traceback(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffix, data = COMMANDS[name]
    path = put(tmp_path, f"twin{suffix}", data)
    assert main(["data", "check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "twin" in out + err
    assert "Traceback" not in out + err and "fault of tunesmith" not in err
    assert main(["data", "check", "--json", str(path)]) == 1
    json.loads(capsys.readouterr().out)


def test_the_command_line_and_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, path in not_there(tmp_path).items():
        assert main(["data", "check", str(path)]) == 2
        out, err = capsys.readouterr()
        assert words.strip() in " ".join((out + err).split()) and "Traceback" not in out + err


# --- bytes changed at random -----------------------------------------------------------------------------------------

THREE = [{"prompt": f"问{n}😀", "completion": f"\\答“{n}”\u2028"} for n in range(3)]


@pytest.mark.parametrize("byte", [0x00, 0x0A, 0x0D, 0x22, 0x2C, 0x5C, 0x5D, 0x7B, 0x7D, 0x80, 0xE4, 0xFF])
def test_a_changed_byte_changes_its_own_line_alone(byte: int, tmp_path: Path) -> None:
    data, path = lines(THREE).encode(), tmp_path / "twin.jsonl"
    starts = [0, *(at + 1 for at, value in enumerate(data) if value == 0x0A)]
    for at in range(len(data)):
        path.write_bytes(changed(data, at, byte))
        found = Outcome(path)
        touched = sum(at >= start for start in starts) - 1
        touched = {touched, touched + 1} if data[at] == 0x0A else {touched}
        others = [[f"问{n}😀", f"\\答“{n}”\u2028"] for n in range(3) if n not in touched]
        if found.error is not None:
            assert "twin.jsonl" in found.message, at
            assert all(texts in others for texts in found.texts[: min(touched)])
        else:
            assert [texts for texts in found.texts if texts in others] == others, at
            assert len(found.texts) <= 3
            assert all("\ufffd" not in text and "\r" not in text for texts in found.texts for text in texts)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(
        ["list", "Parquet", "Arrow", "gzip", "zstd", "UTF-16 list", "objects over lines", "CSV", "TSV"]
    ),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 10**6),
)
def test_no_damage_makes_anything_but_a_message(
    name: str, changes: list[tuple[int, int]], cut: int, tmp_path: Path
) -> None:
    dress = {**DRESSES, **TABLES}[name]
    data = dress.write(THREE)
    for at, byte in changes:
        data = changed(data, at % len(data), byte)
    if cut % 3 == 0:
        data = data[: cut % len(data)]
    found = Outcome(put(tmp_path, f"twin{dress.suffix}", data))
    assert found.error is None or "twin" in found.message
    assert found.error is not None or found.bad or len(found.texts) >= 1


CUT = {"a quote": "’", "a dash": "—", "é": "é", "a Chinese character": "你", "an emoji": "😀"}


@pytest.mark.parametrize("where", ["in the middle", "at the end"])
@pytest.mark.parametrize("name", CUT)
def test_a_character_that_is_cut_in_an_english_file(name: str, where: str, tmp_path: Path) -> None:
    """The usual broken byte: somebody cut the texts at a number of bytes. It is no other encoding."""
    cut = CUT[name].encode()[:-1]
    text = b"it" + cut + b"s late" if where == "in the middle" else b"it is late" + cut
    line = b'{"prompt": "What time is it?", "completion": "' + text + b'"}\n'
    whole = b'{"prompt": "What time is it?", "completion": "It is late."}\n'
    found = Outcome(put(tmp_path, "twin.jsonl", whole * 2 + line + whole))
    assert "line 3: it is not UTF-8" in found.message


def test_a_western_file_in_an_older_encoding(tmp_path: Path) -> None:
    made = [
        {"prompt": "Où êtes-vous, à l’hôtel ?", "completion": f"Là-bas, près de la forêt n° {n}."} for n in range(9)
    ]
    found = Outcome(put(tmp_path, "twin.jsonl", lines(made).encode("cp1252")))
    assert (found.error, found.bad) == (None, [])
    assert found.texts == [list(record.values()) for record in made]


def test_a_big5_file(tmp_path: Path) -> None:
    made = [
        {"prompt": "請問今天的天氣怎麼樣？", "completion": f"今天是個好天氣，氣溫{n}度，我們可以出去走走。"}
        for n in range(9)
    ]
    for dress in ("lines", "list over lines", "CRLF"):
        text = DRESSES[dress].write(made).decode()
        found = Outcome(put(tmp_path, "twin.json", text.encode("big5")))
        assert (found.error, found.bad) == (None, []), dress
        assert found.texts == [list(record.values()) for record in made]


# --- names that no text can hold -------------------------------------------------------------------------------------

HALF: dict[str, tuple[str, dict[str, Any]]] = {
    "a role": ("messages", {"messages": [{"role": "\ud83d", "content": "问"}, A]}),
    "a field": ("completion", {"prompt": "问", "\ud83d": "答"}),
    "a label": ("ocnli", {"sentence1": "甲", "sentence2": "乙", "label": "\ud83d"}),
    "a mark": ("vision", {"image": {"\ud83d": "a.jpg"}, "conversations": [U, A]}),
    "a path": ("vision", {"image": "\ud83d.jpg", "conversations": [U, A]}),
    "a zero in a path": ("vision", {"image": "a\0.jpg", "conversations": [U, A]}),
    "a long path": ("vision", {"image": "a" * 5000, "conversations": [U, A]}),
    "a tool": ("messages", {"messages": [U, A], "tools": '[{"\ud83d": 1}]'}),
}


@pytest.mark.parametrize("name", HALF)
def test_half_a_pair_in_a_message_to_the_user(name: str, tmp_path: Path) -> None:
    """What a message quotes must be printed and stored in the report, whatever it is."""
    format, record = HALF[name]
    good = twins.records("messages" if format == "vision" else format)
    format = "messages" if format == "vision" else format
    if "image" in record:
        record = {"messages": [{**U, "content": "<image>"}, A], "images": [record["image"]]}
    path = put(tmp_path, "twin.jsonl", lines([good[0], record], ascii=True))
    assert [place[:2] for place in Outcome(path).places] == [(1, 2)]
    assert len(prepare(path, "skip")) == 1
    assert len(prepare(path, "skip")) == 1, "from the cache"


def test_a_field_twice_with_half_a_pair_as_its_name(tmp_path: Path) -> None:
    path = put(tmp_path, "twin.jsonl", in_second_line(lambda _: GOOD[:-1] + r', "\ud83d": 1, "\ud83d": 2}'))
    assert [place[:2] for place in Outcome(path).places] == [(1, 2)]
    assert len(prepare(path, "skip")) == 2


def test_a_file_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/twin\xff.jsonl"))
    try:
        path.write_text(ROWS, encoding="utf-8")
    except OSError:
        pytest.skip("this file system allows only UTF-8")
    assert len(prepare(path)) == 3


def test_the_same_file_under_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "twin.jsonl", ROWS)
    monkeypatch.chdir(tmp_path)
    for other in ("./twin.jsonl", str(tmp_path / "twin.jsonl"), "../" + tmp_path.name + "/twin.jsonl", "."):
        with pytest.raises(DataError, match="is given twice"):
            Preparation(Work(MarkerChat(), MINICPM)).run(["twin.jsonl", other])
