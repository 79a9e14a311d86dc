"""Tasks as {"instruction": "...", "input": "...", "output": "..."}, with optional "system" and "history".

`history` holds the earlier turns: [["question", "answer"], ...]; their answers are learned like the last one. The
user's text is the instruction, and on the next line the input if there is one. LLaMA-Factory joins the two with a line
break, and so does this; some tutorials put them together without one. Texts are otherwise kept exactly as they are.
Null stands for a field that is left out.
"""

from __future__ import annotations

from typing import Any

from ...errors import RecordError
from ..types import Conversation, Message, Origin
from ._fields import closest, filled, kind, refuse_misspelt, refuse_unread, text_of

FIELDS = ("instruction", "input", "output", "system", "history")


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields; a misspelt `instruction` counts, so that it gets its message."""
    return isinstance(record, dict) and any(closest(key, FIELDS) == "instruction" for key in record)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    refuse_misspelt(record, FIELDS, origin)
    if record.get("instruction") is None:
        state = "null" if "instruction" in record else "missing"
        raise RecordError(origin, "instruction", f"it is {state}.", "Give the question or the task.")
    refuse_unread(record, origin)
    if record.get("output") is None:
        state = "null" if "output" in record else "missing"
        mend = "Give the answer, or remove the record."
        raise RecordError(origin, "output", f"it is {state}: a record without an answer.", mend)
    messages = []
    if record.get("system"):
        messages.append(Message("system", text_of(record["system"], "system", origin)))
    messages += _history(record.get("history"), origin)
    messages.append(Message("user", _question(record, origin)))
    messages.append(Message("assistant", filled(record["output"], "output", origin, "a record without an answer")))
    return Conversation(tuple(messages), origin)


def _question(record: dict[str, Any], origin: Origin) -> str:
    instruction = text_of(record["instruction"], "instruction", origin)
    extra = text_of(record["input"], "input", origin) if record.get("input") is not None else ""
    question = "\n".join(text for text in (instruction, extra) if text)
    if not question.strip():
        reason = "it is blank, and so is the input: a record without a question."
        raise RecordError(origin, "instruction", reason, "Fill it in, or remove the record.")
    return question


def _history(history: Any, origin: Origin) -> list[Message]:
    if history is None:
        return []
    if not isinstance(history, list):
        mend = 'Write a list of pairs: [["question", "answer"], ...].'
        raise RecordError(origin, "history", f"it is {kind(history)}, not a list.", mend)
    messages = []
    for number, pair in enumerate(history):
        place = f"history[{number}]"
        if not isinstance(pair, list) or len(pair) != 2:
            what = f"a list of {len(pair)}" if isinstance(pair, list) else kind(pair)
            raise RecordError(origin, place, f"it is {what}, not a pair.", 'Write ["question", "answer"].')
        messages.append(Message("user", filled(pair[0], f"{place}[0]", origin, "a turn without a question")))
        messages.append(Message("assistant", filled(pair[1], f"{place}[1]", origin, "a turn without an answer")))
    return messages
