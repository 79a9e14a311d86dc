"""Conversation -> record: the formats that can be written, each the mirror image of its reader in `formats`.

What a format cannot hold is an error, never left out. Fields that no reader reads (an id, a source) are gone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, NoReturn

from ...errors import RecordError
from ..formats._images import WEB
from ..types import Conversation, Message

MARK = "<image>"


def as_messages(conversation: Conversation, folder: str) -> dict[str, Any]:
    """Return a record of the format `messages`; preference data as `preference` reads it.

    Paths of pictures begin at `folder`. The n-th `<image>` stands for the n-th of `images`.

    Raises:
        RecordError: a plain text, or a text that holds `<image>` itself beside pictures.
    """
    _refuse_text(conversation, "messages")
    marks = [ref.mark for ref in _in_order(conversation)]
    texts = _remarked(conversation, marks, [MARK] * len(marks))
    turns = [_turn(m, t, conversation) for m, t in zip(conversation.messages, texts, strict=True)]
    record: dict[str, Any] = {"messages": turns}
    if conversation.rejected is not None:
        rejected = _turn(conversation.rejected, conversation.rejected.content, conversation)
        record = {"messages": turns[:-1], "chosen": turns[-1], "rejected": rejected}
    if conversation.liked is not None:
        record["label"] = conversation.liked
    if conversation.tools:
        record["tools"] = json.loads(conversation.tools)
    if conversation.images:
        record["images"] = [relative(ref.path, folder) for ref in _in_order(conversation)]
    return record


def as_vision(conversation: Conversation, folder: str) -> dict[str, Any]:
    """Return a record of the format `vision` (MiniCPM-V), without its id; paths of pictures begin at `folder`.

    One picture in the first question is a path with the mark `<image>`; else `image` is an object of numbered marks,
    empty for a record without pictures.

    Raises:
        RecordError: a plain text, preference data, or a text that holds a mark itself beside pictures.
    """
    _refuse_text(conversation, "vision")
    if conversation.rejected is not None or conversation.liked is not None:
        field = "rejected" if conversation.rejected is not None else "label"
        _refuse(conversation, field, "it is preference data, which the format 'vision' cannot hold.", "messages")
    refs = _in_order(conversation)
    old = [ref.mark for ref in refs]
    first = next((m.content for m in conversation.messages if m.role == "user"), "")
    single = len(refs) == 1 and old[0] in first
    new = [MARK] if single else [f"<image_{number:02d}>" for number in range(len(refs))]
    texts = _remarked(conversation, old, new)
    paths = [relative(ref.path, folder) for ref in refs]
    turns = [_turn(m, t, conversation) for m, t in zip(conversation.messages, texts, strict=True)]
    image = paths[0] if single else dict(zip(new, paths, strict=True))
    record: dict[str, Any] = {"image": image, "conversations": turns}
    if conversation.tools:
        record["tools"] = json.loads(conversation.tools)
    return record


SHAPES: dict[str, Callable[[Conversation, str], dict[str, Any]]] = {"messages": as_messages, "vision": as_vision}


def relative(path: str, folder: str) -> str:
    """Return the path of a picture as seen from `folder`, also where one of the two is reached through a link.

    An address of the web stays as it is.
    """
    if WEB.match(path):
        return path
    parent, name = os.path.split(path)
    return os.path.join(os.path.relpath(os.path.realpath(parent), os.path.realpath(folder)), name).removeprefix("./")


def _turn(message: Message, text: str, conversation: Conversation) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": text}
    if message.calls:
        calls = json.loads(message.calls)
        calls = calls if isinstance(calls, list) else [calls]
        turn["tool_calls"] = [_call(call, conversation) for call in calls]
    if not message.train:
        turn["train"] = False
    return turn


def _call(call: dict[str, Any], conversation: Conversation) -> dict[str, Any]:
    """Return a call as OpenAI writes it: the arguments as a text."""
    if more := [name for name in call if name not in ("name", "arguments", "id", "type")]:
        reason = f"a call has a field '{more[0]}', which OpenAI's form cannot hold."
        _refuse(conversation, "tool_calls", reason)
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return {"type": "function", "function": {"name": call["name"], "arguments": arguments}}


def _in_order(conversation: Conversation) -> list[Any]:
    """Return the pictures in the order in which their marks stand in the texts."""
    whole = "\n".join(message.content for message in conversation.messages)
    return sorted(conversation.images, key=lambda ref: whole.index(ref.mark))


def _remarked(conversation: Conversation, old: list[str], new: list[str]) -> list[str]:
    """Return the texts of the messages with each old mark, in the order of the texts, replaced by its new one."""
    texts, number = [], 0
    for message in conversation.messages:
        done, rest = "", message.content
        while number < len(old) and old[number] in rest:
            before, _, rest = rest.partition(old[number])
            done += before + new[number]
            number += 1
        texts.append(done + rest)
    for mark in set(new):
        if sum(text.count(mark) for text in texts) != new.count(mark):
            reason = f"a text holds '{mark}' itself, so that it could not be told from the mark of a picture."
            _refuse(conversation, "images", reason)
    return texts


def _refuse_text(conversation: Conversation, shape: str) -> None:
    if conversation.text is not None:
        reason = f"it is a plain text, which the format '{shape}' cannot hold."
        mend = "Plain texts can be trained on as they are; leave this file out."
        raise RecordError(conversation.origin, "text", reason, mend)


def _refuse(conversation: Conversation, field: str, reason: str, other: str = "") -> NoReturn:
    mend = f"Convert it to '{other}', or leave it out." if other else "Change it, or leave the record out."
    raise RecordError(conversation.origin, field, reason, mend)
