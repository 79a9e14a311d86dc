"""The terminal: marks where there is no colour, colour where there is, lines that fit, nothing left out unsaid."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from tunesmith.data.chat import RenderOptions
from tunesmith.data.chats import MarkerChat
from tunesmith.data.show.proof import Proof
from tunesmith.data.show.rows import KINDS, Microscope, View
from tunesmith.data.show.terminal import Terminal, proof_text, token_text
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, Message, Origin

MINICPM = TextTokenizer.load(Path(__file__).parents[2] / "golden" / "tokenizers" / "minicpm-2b")
WHOLE = RenderOptions()
MESSAGES = (
    Message("user", "下面两句话是什么关系？\n\t句子1"),
    Message("assistant", "好", train=False),
    Message("user", "再短一点"),
    Message("assistant", "你好！\x1b[31m"),
    Message("user", "好"),
    Message("assistant", "  好  "),
)


def look(messages: tuple[Message, ...] = MESSAGES, options: RenderOptions = WHOLE) -> View:
    return Microscope(MarkerChat(), MINICPM, options).look(Conversation(messages, Origin("a.json", 3, 8)))


def printed(view: View, width: int = 80, colour: bool = False, tokens: int | None = None, ids: bool = False) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=colour, color_system="256" if colour else None)
    Terminal(console, tokens, ids).view(view)
    return stream.getvalue()


def test_marks_without_colour() -> None:
    text = printed(look())
    assert "\x1b" not in text
    assert "Record 3  a.json, record 3, line 8" in text
    assert "[begin: <s>][prompt:  <用户>下面两句话是什么关系？↵\n⇥句子1<AI>][context:  好][prompt:  <用户>" in text
    assert "[learned:  你好！<U+001B>[31m][stop by label: </s>][prompt:  <用户>好<AI>]" in text
    assert "[learned:    好  ][stop: </s>]" in text
    assert text.count("✓ answer") == 3 and "are exactly what chat sends" in text


def test_no_color_on_a_terminal_has_marks_too() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, no_color=True)
    Terminal(console).view(look())
    assert "[learned:" in stream.getvalue()


@pytest.mark.parametrize("width", [20, 80, 100, 120])
@pytest.mark.parametrize("colour", [True, False])
def test_lines_fit(width: int, colour: bool) -> None:
    long = (Message("user", "长 " * 90 + "x" * 150), Message("assistant", "下面两句话是什么关系？" * 30 + "👍🏽" * 20))
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, no_color=not colour, color_system="256")
    Terminal(console).view(look(long))
    for line in stream.getvalue().splitlines():
        assert cell_len(_bare(line)) <= width


def _bare(line: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", line)


def test_colour_shows_spaces_and_no_marks() -> None:
    text = printed(look(), colour=True)
    bare = _bare(text)
    assert "·<用户>下面两句话是什么关系？↵" in bare and "[learned" not in bare and "⟨</s>⟩" in bare
    assert "\x1b[30;42m" in text  # learned: black on green
    assert "\x1b[31m]" not in text and "<U+001B>[31m" in bare  # a record's escape codes are not obeyed


def test_nothing_is_left_out_unsaid() -> None:
    whole = look()
    total = sum(len(item.ids) for item in whole.rows[0].shown)
    text = printed(whole, tokens=10)
    assert f"... {total - 10} more tokens of this row are not shown (--tokens 10)." in text
    assert "more tokens" not in printed(whole, tokens=total)


def test_ids() -> None:
    lines = printed(look(), ids=True).splitlines()
    row = look().rows[0]
    words_of = [line.split() for line in lines]
    listed = [words for words in words_of if words and words[0].isdigit() and set(words) & set(KINDS)]
    assert len(listed) == sum(len(item.ids) for item in row.shown)
    taught = next(item for item in row.shown if item.taught)
    assert any(words[0] == str(taught.position) and words[-2:] == ["2", "</s>"] for words in listed)


def test_counts_and_cut() -> None:
    text = printed(look(options=RenderOptions(max_length=40)))
    assert "[cut: " in text and "of them to learn)" in text
    assert "learned   share   stops   cut" in text


def test_bad_records() -> None:
    text = printed(look(options=RenderOptions(max_length=5)))
    assert "✗ bad record: field 'messages': nothing is left to learn from" in text and "Raise max_length" in text


def test_notes_and_rows_of_texts() -> None:
    text = Conversation((), Origin("a.txt", 0), text="It squares x: 12 It squares x")
    view = Microscope(MarkerChat(), MINICPM, RenderOptions(max_length=8)).look(text)
    assert "Row 2 of " in printed(view) and "Plain text: learned whole" in printed(view)
    assert "marked as a bad one" in printed(replace(look(), disliked=True))
    assert "the worse one is not" in printed(replace(look(), rejected=True))


def test_legend_names_every_kind() -> None:
    for colour in (True, False):
        stream = io.StringIO()
        Terminal(Console(file=stream, width=80, force_terminal=colour, color_system="256" if colour else None)).legend()
        for word in ("begin", "prompt", "context", "learned", "stop", "cut", "by a label alone"):
            assert word in stream.getvalue()


@pytest.mark.parametrize(
    ("proof", "words"),
    [
        (Proof(1, 1, 12), "answer 1: the 12 tokens before it are exactly what chat sends."),
        (Proof(2, 3, 12, "differs", 4, 2, 999), "differ from token 4 on: the row has 2 '</s>', chat sends 999."),
        (Proof(1, 1, 12, "differs", 4, None, 2), "the row has nothing, chat sends 2 '</s>'."),
        (Proof(1, 1, 12, "ends early", 12, 2), "chat's prompt ends after 12 tokens, but"),
        (Proof(1, 1, 12, "ends late", 9, 2, 2), "begins with token 9 (2 '</s>'), but chat's prompt of 12 tokens"),
        (Proof(1, 1, 0, "refused", reason="No."), "chat cannot send the conversation before it: No."),
    ],
)
def test_proofs_as_sentences(proof: Proof, words: str) -> None:
    assert words in proof_text(proof, look().rows[0].shown)
    assert token_text(None, []) == "nothing"
