"""Tasks as {"instruction": "...", "input": "...", "output": "..."}, with optional "system" and "history".

`history` holds the earlier turns: [["question", "answer"], ...]; their answers are learned like the last one. The
user's text is the instruction, and on the next line the input if there is one. LLaMA-Factory joins the two with a line
break, and so does this; some tutorials put them together without one. Texts are otherwise kept exactly as they are.
`tools` and `images` are read as in the format `messages`. Null or an empty text stands for a field that is left out.
"""

from __future__ import annotations

from typing import Any

from ...errors import RecordError
from ..types import Conversation, Origin
from ._fields import has, is_preference, present, refuse_misspelt, refuse_unread, text_of
from ._turns import Draft

FIELDS = ("instruction", "input", "output", "system", "history", "images", "tools")


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields; a misspelt `instruction` counts, so that it gets its message."""
    return has(record, "instruction", FIELDS) and not is_preference(record)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    refuse_misspelt(record, FIELDS, origin)
    present(record, "instruction", origin, "a record without a question or a task")
    refuse_unread(record, origin, "images", "tools")
    answer = present(record, "output", origin, "a record without an answer")
    draft = Draft(origin)
    draft.system(record)
    draft.history(record.get("history"))
    draft.say("user", question(record, origin), "instruction")
    draft.say("assistant", answer, "output", "a record without an answer")
    return draft.finish(record)


def question(record: dict[str, Any], origin: Origin) -> str:
    """Return the user's text: the instruction, and on the next line the input.

    Raises:
        RecordError: they are no texts, or both are blank.
    """
    instruction = text_of(record["instruction"], "instruction", origin)
    extra = text_of(record["input"], "input", origin) if record.get("input") is not None else ""
    text = "\n".join(part for part in (instruction, extra) if part)
    if not text.strip():
        reason = "it is blank, and so is the input: a record without a question."
        raise RecordError(origin, "instruction", reason, "Fill it in, or remove the record.")
    return text
