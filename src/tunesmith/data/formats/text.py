"""Plain texts as {"text": "..."}: learned whole, without any chat layout, as in pre-training.

The begin and end tokens of the model are put around each text. Texts are kept exactly as they are.
"""

from __future__ import annotations

from typing import Any

from ..types import Conversation, Origin
from ._fields import TURNS, filled, has, is_preference, present, refuse_misspelt, refuse_unread

FIELDS = ("text",)
_OTHERS = (
    *TURNS,
    *("prompt", "completion", "response", "question", "answer", "query"),
    *("input", "output", "content", "summary", "sentence1", "sentence2"),
)


def matches(record: Any) -> bool:
    """Tell whether a record is a text and nothing else: beside a question or an answer, it is only a copy of them."""
    return has(record, "text", FIELDS) and not is_preference(record) and not any(name in record for name in _OTHERS)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation without messages.

    Raises:
        RecordError: names the field at fault, the reason and the mend.
    """
    refuse_misspelt(record, FIELDS, origin)
    refuse_unread(record, origin)
    text = present(record, "text", origin, "a record without a text")
    return Conversation((), origin, text=filled(text, "text", origin, "a record that says nothing"))
