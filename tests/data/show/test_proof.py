"""The proof: it holds for our chat formats, and it fails, with the token named, for formats that break the promise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tunesmith.data.chat import ChatFormat, Piece, RenderOptions
from tunesmith.data.chats import MarkerChat
from tunesmith.data.show.proof import Proof
from tunesmith.data.show.rows import Microscope
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, Message
from tunesmith.errors import DataError

MINICPM = TextTokenizer.load(Path(__file__).parents[2] / "golden" / "tokenizers" / "minicpm-2b")
WHOLE = RenderOptions()


@dataclass(frozen=True)
class Broken(MarkerChat):
    """A chat format that writes a prompt otherwise in chat than in training."""

    fault: str = ""

    def pieces(self, conversation: Conversation, open_turn: bool) -> list[Piece]:
        pieces = super().pieces(conversation, open_turn)
        if not open_turn:
            return pieces
        last = pieces[-1].text
        if self.fault == "differs":
            return [*pieces[:-1], Piece(last.replace("你好", "他在"))]
        if self.fault == "ends early":
            return [*pieces[:-1], Piece(last.removesuffix("<AI>"))]
        if self.fault == "ends late":
            return [*pieces, Piece("你好！")]  # what is the answer in the row
        raise DataError("no question is allowed.")


def talk(*contents: str) -> Conversation:
    roles = ("user", "assistant")
    return Conversation(tuple(Message(roles[number % 2], content) for number, content in enumerate(contents)))


def proofs(chat: ChatFormat, conversation: Conversation, options: RenderOptions = WHOLE) -> list[Proof]:
    return Microscope(chat, MINICPM, options).look(conversation).proofs


def test_it_holds_answer_by_answer() -> None:
    found = proofs(MarkerChat(), talk("你好", "你好！", "再短一点", "好"))
    assert [(proof.answer, proof.message, proof.holds) for proof in found] == [(1, 1, True), (2, 3, True)]
    prompt = [1, *MINICPM.encode("<用户>你好<AI>")]
    assert found[0].compared == len(prompt)
    assert found[1].compared == len([*prompt, *MINICPM.encode("你好！"), *MINICPM.encode("<用户>再短一点<AI>")])


def test_it_compares_the_whole_row_even_where_that_is_cut() -> None:
    whole = proofs(MarkerChat(), talk("你好", "你好！", "再短一点", "好"))
    assert proofs(MarkerChat(), talk("你好", "你好！", "再短一点", "好"), RenderOptions(max_length=10)) == whole


@pytest.mark.parametrize("fault", ["differs", "ends early", "ends late", "refused"])
def test_a_broken_format_fails(fault: str) -> None:
    conversation = talk("你好", "你好！")
    (proof,) = proofs(Broken(fault=fault), conversation)
    assert proof.fault == fault and not proof.holds
    sent = [1, *MINICPM.encode("<用户>你好<AI>")]
    if fault == "differs":
        position = next(n for n, name in enumerate(sent) if name == MINICPM.id("你好"))
        assert (proof.position, proof.row) == (position, MINICPM.id("你好")) and proof.sent not in (None, proof.row)
    elif fault == "ends early":
        assert proof.position == proof.compared < len(sent) and proof.row == sent[proof.position]
    elif fault == "ends late":
        assert proof.position == len(sent)
    else:
        assert proof.reason == "no question is allowed."
    assert not Microscope(Broken(fault=fault), MINICPM).look(conversation).good


def test_empty_answers_do_not_fail_it() -> None:
    messages = (
        Message("user", "你好"),
        Message("assistant", ""),
        Message("user", "再短一点"),
        Message("assistant", "好"),
    )
    assert all(proof.holds for proof in proofs(MarkerChat(), Conversation(messages)))
    called = Message("assistant", "", calls='{"name": "f"}')
    messages = (Message("user", "你好"), called, Message("tool", ""), Message("assistant", "好"))
    assert all(proof.holds for proof in proofs(MarkerChat(), Conversation(messages)))
