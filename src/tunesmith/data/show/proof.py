"""The proof: what chat would send for the conversation up to an answer is the beginning of the training row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...errors import RecordError
from ..chat import ChatFormat, render
from ..tokenizer import TextTokenizer
from ..types import Conversation

Fault = Literal["", "differs", "ends early", "ends late", "refused"]


@dataclass(frozen=True, slots=True)
class Proof:
    """Of one answer: chat's prompt (`compared` tokens) is the row's beginning, and there the answer begins.

    `answer` counts from 1, `message` is its place in the conversation. `fault`: `differs`: at `position` stand `row`
    and `sent`, two different ids (None: the row has ended); `ends early`: the row has more prompt (from `position`
    on); `ends late`: chat sends what the row counts as answer; `refused`: chat cannot send it, `reason` says why.
    """

    answer: int
    message: int
    compared: int
    fault: Fault = ""
    position: int = 0
    row: int | None = None
    sent: int | None = None
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether training and chat see the same."""
        return not self.fault


def prove(
    conversation: Conversation,
    chat: ChatFormat,
    tokenizer: TextTokenizer,
    ids: Sequence[int],
    answers: Sequence[bool] | None,
) -> list[Proof]:
    """Return the proof of every answer.

    `ids`: the whole row, not cut. `answers`: for each of them, whether it is part of an answer (None: not known).
    """
    messages = conversation.messages
    proofs: list[Proof] = []
    for number, message in enumerate(messages):
        if message.role != "assistant":
            continue
        count = len(proofs) + 1
        said_before = "\n".join(one.content for one in messages[:number])
        shown = tuple(image for image in conversation.images if image.mark in said_before)
        before = replace(conversation, messages=messages[:number], images=shown, rejected=None, liked=None)
        try:
            sent = render(before, chat, tokenizer, open_turn=True).input_ids
        except RecordError as error:
            proofs.append(Proof(count, number, 0, "refused", reason=error.reason))
            continue
        proof = _compare(count, number, ids, sent)
        if proof.holds and answers is not None:
            said = bool(message.content.strip() or message.calls)
            turns = bool(number and messages[number - 1].role != "assistant" and messages[number - 1].content.strip())
            proof = _borders(proof, ids, answers, said, turns)
        proofs.append(proof)
    return proofs


def _compare(answer: int, message: int, ids: Sequence[int], sent: Sequence[int]) -> Proof:
    for position, number in enumerate(sent):
        there = ids[position] if position < len(ids) else None
        if there != number:
            return Proof(answer, message, len(sent), "differs", position, there, number)
    return Proof(answer, message, len(sent))


def _borders(proof: Proof, ids: Sequence[int], answers: Sequence[bool], said: bool, turns: bool) -> Proof:
    """Check that the answer begins where the prompt ends (`said`: it has a text; `turns`: so has the turn before)."""
    end = proof.compared
    if said and (end >= len(ids) or not answers[end]):
        return replace(proof, fault="ends early", position=end, row=ids[end] if end < len(ids) else None)
    if turns and end and answers[end - 1]:
        position = end
        while position and answers[position - 1]:
            position -= 1
        return replace(proof, fault="ends late", position=position, row=ids[position], sent=ids[position])
    return proof
