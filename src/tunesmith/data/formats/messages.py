"""Conversations as {"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}.

Roles: an optional `system` message in front, then `user` and `assistant` in turn; `tool` messages may stand between an
assistant's message and the next one. The last message is an answer. `"train": false` on an assistant's message keeps
it in the conversation without learning it. Texts are kept exactly as they are. Other fields of a record (an id, a
source) are ignored, except those whose loss would change what is learned: these are refused.
"""

from __future__ import annotations

from typing import Any

from ... import lookup
from ...errors import RecordError
from ..types import Conversation, Message, Origin
from ._fields import filled, kind, refuse_misspelt, refuse_unread, text_of

ROLES = ("system", "user", "assistant", "tool")
_FOREIGN = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "function": "tool"}
_FOLLOWS = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}
"""Which roles may come after which; None is the beginning."""
_UNREAD = ("tool_calls", "function_call", "weight", "loss")


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields."""
    return isinstance(record, dict) and "messages" in record


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the message and field at fault, the reason and the mend.
    """
    refuse_misspelt(record, ("messages",), origin)
    if "messages" not in record:
        keys = ", ".join(repr(key) for key in list(record)[:8]) or "none"
        mend = "All records of a file have one format; this file's is 'messages'."
        raise RecordError(origin, "messages", f"it is missing; the record has the fields {keys}.", mend)
    refuse_unread(record, origin)
    turns = record["messages"]
    if not isinstance(turns, list):
        mend = 'Write a list of {"role": ..., "content": ...}.'
        raise RecordError(origin, "messages", f"it is {kind(turns)}, not a list.", mend)
    if not turns:
        raise RecordError(origin, "messages", "it is an empty list.", "Fill it in, or remove the record.")
    messages = tuple(_message(turn, f"messages[{number}]", origin) for number, turn in enumerate(turns))
    _check_order(messages, origin)
    return Conversation(messages, origin)


def _message(turn: Any, place: str, origin: Origin) -> Message:
    if not isinstance(turn, dict):
        mend = 'Write {"role": ..., "content": ...}.'
        raise RecordError(origin, place, f"it is {kind(turn)}, not an object.", mend)
    if "from" in turn and "role" not in turn:
        mend = "Rename 'from' to 'role' and 'value' to 'content', with the roles user and assistant."
        raise RecordError(origin, f"{place}.from", "messages name their speaker in 'role'.", mend)
    for field in ("role", "content"):
        if field not in turn:
            raise RecordError(origin, f"{place}.{field}", "it is missing.", f"Give the message a '{field}'.")
    role = _role(turn["role"], f"{place}.role", origin)
    for field in _UNREAD:
        if turn.get(field) not in (None, True, [], {}):  # a weight of 1 says what is done anyway
            mend = "Write what the model says into 'content', or set \"train\": false on what it must not learn."
            raise RecordError(origin, f"{place}.{field}", "this format does not read it.", mend)
    if isinstance(turn["content"], list):
        mend = "Join the text parts into one text; parts that are pictures are not read by this format."
        raise RecordError(origin, f"{place}.content", "it is a list of parts, not a text.", mend)
    train = turn.get("train", True)
    if not isinstance(train, bool):
        raise RecordError(origin, f"{place}.train", f"it is {kind(train)}.", "Write true or false, without quotes.")
    if role in ("system", "tool"):
        return Message(role, text_of(turn["content"], f"{place}.content", origin), train)
    missing = "a record without an answer" if role == "assistant" else "a user's message that says nothing"
    return Message(role, filled(turn["content"], f"{place}.content", origin, missing), train)


def _role(role: Any, field: str, origin: Origin) -> str:
    if isinstance(role, str) and role in ROLES:
        return role
    known = f"Roles are {', '.join(ROLES)}."
    if not isinstance(role, str):
        raise RecordError(origin, field, f"it is {kind(role)}, not a role.", known)
    foreign = _FOREIGN.get(role.strip().casefold())
    hint = f"; did you mean '{foreign}'?" if foreign else lookup.nearest(role.strip().casefold(), list(ROLES))
    raise RecordError(origin, field, f"there is no role '{role}'{hint or '.'}", known)


def _check_order(messages: tuple[Message, ...], origin: Origin) -> None:
    before = None
    for number, message in enumerate(messages):
        if message.role not in _FOLLOWS[before]:
            field = f"messages[{number}].role"
            wanted = " or ".join(_FOLLOWS[before])
            if before is None:
                mend = "Put the user's message in front of it, or remove it."
                raise RecordError(origin, field, f"the conversation begins with '{message.role}'.", mend)
            if message.role == "system":
                mend = "Move it to the front, or make it a part of the user's message."
                raise RecordError(origin, field, "a system message stands inside the conversation.", mend)
            mend = f"Join the two into one message, or put the missing one between: {wanted} is expected here."
            raise RecordError(origin, field, f"'{message.role}' follows '{before}'.", mend)
        before = message.role
    if before != "assistant":
        reason = f"the conversation ends with '{before}': a record without an answer."
        mend = "Add the assistant's answer, or remove what stands behind the last one."
        raise RecordError(origin, f"messages[{len(messages) - 1}].role", reason, mend)
