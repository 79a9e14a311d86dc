"""Conversations as {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}.

Roles: an optional `system` message in front, then `user` and `assistant` in turn; `tool` messages may stand between an
assistant's message and the next one. The last message is an answer. `"train": false` (or OpenAI's `"weight": 0`) on an
assistant's message keeps it in the conversation without learning it.

Tools: `tools` of the record describes them (a list, or its text); an assistant calls them in `tool_calls`, as OpenAI
writes it, and may then say nothing besides. Pictures: `images` is a list of paths, and the n-th `<image>` in the texts
stands for the n-th of them. A content may be a list of parts, `{"type": "text", "text": ...}` and
`{"type": "image", "image": "path"}`; their texts are joined without anything between.

Texts are kept exactly as they are. Other fields of a record (an id, a source) are ignored, except those whose loss
would change what is learned: these are refused.
"""

from __future__ import annotations

from typing import Any

from ..types import Conversation, Origin
from ._fields import has, is_preference, present, refuse_misspelt, refuse_unread
from ._turns import ROLE_CONTENT, Draft

FIELDS = ("messages", "images", "tools")


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields."""
    return has(record, "messages", FIELDS) and not is_preference(record)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the message and field at fault, the reason and the mend.
    """
    refuse_unread(record, origin, "images", "tools")
    refuse_misspelt(record, FIELDS, origin)
    draft = Draft(origin)
    draft.system(record)
    draft.read(present(record, "messages", origin, "a record without a conversation"), "messages", ROLE_CONTENT)
    return draft.finish(record)
