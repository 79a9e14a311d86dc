"""Tasks as {"instruction": "...", "input": "...", "output": "..."}: with both, the instruction is the system text.

The user's text is then the input; a record with only one of the two has no system text. TransNormerLLM's official
fine-tuning puts them so (`{instruction}`, `Human:`, `{input}`, `Assistant:`); the format `alpaca` joins them instead.
The fields are those of `alpaca`, so this format is never found out: it must be asked for by its name.
"""

from __future__ import annotations

from typing import Any

from ...errors import RecordError
from ..types import Conversation, Origin
from ._fields import empty, kind, present, refuse_misspelt, refuse_unread, text_of
from ._turns import Draft

FIELDS = ("instruction", "input", "output")
_OTHERS = ("system", "history")


def matches(record: Any) -> bool:
    """Tell that no record is of this format by itself."""
    return False


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    refuse_misspelt(record, FIELDS, origin)
    present(record, "instruction", origin, "a record without a question or a task")
    refuse_unread(record, origin)
    for field in _OTHERS:
        if not empty(record.get(field)):
            reason = f"it is {kind(record[field])}, but here the instruction is the system text of the one turn."
            raise RecordError(origin, field, reason, "Use data.format: alpaca for such records, or remove the field.")
    answer = present(record, "output", origin, "a record without an answer")
    instruction = text_of(record["instruction"], "instruction", origin)
    question = text_of(record["input"], "input", origin) if record.get("input") is not None else ""
    draft = Draft(origin)
    if instruction.strip() and question.strip():
        draft.say("system", instruction, "instruction")
        draft.say("user", question, "input")
    else:
        given = "input" if question.strip() else "instruction"
        draft.say("user", record[given], given, "a record without a question, for its input is blank too")
    draft.say("assistant", answer, "output", "a record without an answer")
    return draft.finish(record)
