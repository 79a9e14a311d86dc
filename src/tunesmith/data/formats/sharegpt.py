"""Conversations as {"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}.

Speakers: `human` or `user`; `gpt`, `assistant`, `chatgpt`, `bard` and so on; `system`; `function_call`, whose value is
a call as JSON, `{"name": ..., "arguments": {...}}` or a list of these; `observation`, `tool` or `function`: what the
tool gave back. `system` and `tools` may also be fields of the record. `role` and `content` are read like `from` and
`value`. The order of the turns, `images` and all else is as in the format `messages`.
"""

from __future__ import annotations

from typing import Any

from ..types import Conversation, Origin
from ._fields import has, is_preference, present, refuse_misspelt, refuse_unread
from ._turns import FROM_VALUE, Draft

FIELDS = ("conversations", "system", "tools", "images")


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields; with `image` it is of the format `vision`."""
    return has(record, "conversations", FIELDS) and "image" not in record and not is_preference(record)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the message and field at fault, the reason and the mend.
    """
    refuse_unread(record, origin, "images", "tools")
    refuse_misspelt(record, FIELDS, origin)
    draft = Draft(origin)
    draft.system(record)
    turns = present(record, "conversations", origin, "a record without a conversation")
    draft.read(turns, "conversations", FROM_VALUE)
    return draft.finish(record)
