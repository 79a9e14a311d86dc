"""Preferences as {"prompt": "...", "chosen": "...", "rejected": "..."}, or an answer with "label": true or false.

Pairs: the question is `prompt`, `question` or `instruction` (with `input`), a text, or a list of messages in `prompt`,
`messages` or `conversations`; `chosen` and `rejected` are texts or messages (`role`/`content` or `from`/`value`). Both
may also be whole conversations with a common beginning, which then is the question. `chosen` becomes the last message,
`rejected` stands beside it.

Single answers: a record of any conversation format with `label` (or `kto_tag`): whether its last answer is a good one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import RecordError
from ..types import Conversation, Message, Origin
from . import alpaca, completion, messages, sharegpt, vision
from ._fields import closest, empty, is_preference, kind, present, refuse_misspelt, refuse_unread, verdict
from ._images import MARK
from ._turns import FROM_VALUE, Draft, Style

ANSWERS = ("chosen", "rejected")
QUESTIONS = ("conversations", "messages", "prompt", "instruction", "question")
STYLE = Style(("role", "from"), ("content", "value"), FROM_VALUE.roles)


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields; a label counts only where it is true or false."""
    return is_preference(record)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation that ends with the better answer, or with the judged one.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    refuse_misspelt(record, ANSWERS, origin)
    judged = verdict(record)
    if judged is not None and all(empty(record.get(name)) for name in ANSWERS):
        return _judged(record, *judged, origin)
    if judged is not None:
        reason = "the record compares two answers and judges one as well."
        raise RecordError(origin, judged[0], reason, "Keep 'chosen' and 'rejected', or the label with one answer.")
    refuse_unread(record, origin, "images", "tools", *ANSWERS)
    good, bad = (present(record, name, origin, "a pair of answers with one missing") for name in ANSWERS)
    draft = Draft(origin)
    if any(isinstance(answer, list) and len(answer) > 1 for answer in (good, bad)):
        good, bad = _common(record, good, bad, draft)
    else:
        _ask(record, draft)
    _answer(draft, good, "chosen")
    other = Draft(origin)
    _answer(other, bad, "rejected")
    return _compared(draft.finish(record), other.messages[0], origin)


def _compared(conversation: Conversation, rejected: Message, origin: Origin) -> Conversation:
    if (rejected.content, rejected.calls) == (conversation.messages[-1].content, conversation.messages[-1].calls):
        reason = "it is the same as 'chosen': there is nothing to prefer."
        raise RecordError(origin, "rejected", reason, "Give the worse answer, or remove the record.")
    if conversation.images and MARK in rejected.content:
        reason = f"'{MARK}' stands in an answer: the model reads pictures, but does not give any."
        raise RecordError(origin, "rejected", reason, "Move it into the user's message.")
    return replace(conversation, rejected=rejected)


def _judged(record: dict[str, Any], field: str, liked: bool, origin: Origin) -> Conversation:
    """Return a record of another format with what its label says."""
    rest = {name: value for name, value in record.items() if name != field}
    for format in (messages, vision, sharegpt, alpaca, completion):
        if format.matches(rest):
            return replace(format.parse(rest, origin), liked=liked)
    keys = ", ".join(repr(str(key)) for key in list(rest)[:8]) or "none"
    mend = "Give it 'messages', 'conversations', or 'prompt' and 'completion'."
    raise RecordError(origin, field, f"there is no answer that it judges; the fields beside it are {keys}.", mend)


def _ask(record: dict[str, Any], draft: Draft) -> None:
    """Add what both answers answer to."""
    fields = [name for name in QUESTIONS if not empty(record.get(name))]
    if not fields:
        wrong = next((key for key in record if closest(key, QUESTIONS) and key not in QUESTIONS), None)
        mend = (
            f"Rename '{wrong}' to '{closest(wrong, QUESTIONS)}'."
            if wrong
            else f"Give it one of {', '.join(QUESTIONS)}."
        )
        raise RecordError(draft.origin, "prompt", "it is missing: what do the answers answer?", mend)
    if len(fields) > 1:
        reason = f"the question is given twice, in '{fields[0]}' and here."
        raise RecordError(draft.origin, fields[1], reason, "Keep one of the two.")
    field, value = fields[0], record[fields[0]]
    draft.system(record)
    draft.history(record.get("history"))
    if isinstance(value, list) or field in ("messages", "conversations"):
        draft.read(value, field, STYLE)
    elif field == "instruction":
        draft.say("user", alpaca.question(record, draft.origin), field)
    else:
        draft.say("user", value, field, "a record without a question")


def _answer(draft: Draft, answer: Any, field: str) -> None:
    """Add an answer: a text, a message, or a list of one."""
    if isinstance(answer, list) and len(answer) == 1:
        answer, field = answer[0], f"{field}[0]"
    if isinstance(answer, str):
        draft.say("assistant", answer, field, "a record without an answer")
        return
    if not isinstance(answer, dict):
        what = "an empty list" if answer == [] else kind(answer)
        raise RecordError(draft.origin, field, f"it is {what}, not an answer.", "Write a text, or a message.")
    draft.turn(answer, field, STYLE)
    if draft.messages[-1].role != "assistant":
        reason = f"'{draft.messages[-1].role}' speaks: an answer comes from the assistant."
        raise RecordError(draft.origin, draft.places[-1], reason, "Give the model's answer.")


def _common(record: dict[str, Any], good: Any, bad: Any, draft: Draft) -> tuple[Any, Any]:
    """Add the common beginning of two whole conversations, and return the two answers that follow it."""
    origin = draft.origin
    for value, field in zip((good, bad), ANSWERS, strict=True):
        if not isinstance(value, list):
            mend = "Write both as whole conversations, or both as answers."
            raise RecordError(origin, field, f"it is {kind(value)}, and the other answer is a list.", mend)
    if good[:-1] != bad[:-1] or not good[:-1]:
        reason = "the two conversations differ before their last message."
        raise RecordError(origin, "rejected", reason, "Let them differ in the last answer alone.")
    draft.system(record)
    draft.read(good[:-1], "chosen", STYLE)
    said = [message.content for message in draft.messages]
    for field in QUESTIONS:
        given = record.get(field)
        if not empty(given) and given not in (good, good[:-1], *said):
            reason = "it is not what both conversations begin with."
            raise RecordError(origin, field, reason, "Remove it: the question stands in 'chosen' and 'rejected'.")
    return good[-1], bad[-1]
