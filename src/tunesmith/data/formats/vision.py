"""Picture talks as {"image": "a.jpg", "conversations": [{"role": "user", "content": "<image>\\n..."}, ...]} (MiniCPM-V).

`image` is the path of one picture, which `<image>` in the user's first message stands for; without that mark the
picture is put in front of this message, on a line of its own. Or it is an object of several, `{"<image_00>": "a.jpg",
"<image_01>": "b.jpg"}`, and each mark stands exactly once in the texts. Paths are relative to the folder of the data
file. A turn may also be written with `from` and `value`, as in LLaVA; a record without `image` is a plain
conversation. The order of the turns, `tools` and all else is as in the format `messages`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...errors import RecordError
from ..types import Conversation, Origin
from ._fields import empty, has, is_preference, kind, present, refuse_misspelt, refuse_unread
from ._images import MARK, NUMBERED, refer
from ._turns import FROM_VALUE, Draft, Style

FIELDS = ("conversations", "image", "system", "tools")
STYLE = Style(("role", "from"), ("content", "value"), FROM_VALUE.roles)


def matches(record: Any) -> bool:
    """Tell whether a record has this format's fields."""
    return has(record, "conversations", FIELDS) and "image" in record and not is_preference(record)


def parse(record: dict[str, Any], origin: Origin) -> Conversation:
    """Return the record as a conversation.

    Raises:
        RecordError: names the message and field at fault, the reason and the mend.
    """
    refuse_misspelt(record, FIELDS, origin)
    refuse_unread(record, origin, "image", "tools")
    draft, image = Draft(origin), record.get("image")
    draft.system(record)
    turns = present(record, "conversations", origin, "a record without a conversation")
    draft.read(turns, "conversations", STYLE)
    conversation = draft.finish(record)
    if empty(image):
        return conversation
    if conversation.images:
        reason = "pictures are given here and inside the messages."
        raise RecordError(origin, "image", reason, "Name each picture in one place only.")
    if isinstance(image, str):
        return _one(conversation, image, "image", draft.turns)
    if not isinstance(image, dict):
        mend = 'Write a path, or an object of marks and paths: {"<image_00>": "a.jpg", "<image_01>": "b.jpg"}.'
        raise RecordError(origin, "image", f"it is {kind(image)}, not a path.", mend)
    if list(image) == [MARK]:
        return _one(conversation, image[MARK], f"image.{MARK}", draft.turns)
    return _several(conversation, image, draft.turns)


def _one(conversation: Conversation, path: Any, field: str, places: list[str]) -> Conversation:
    """Give the conversation its one picture, which belongs into the user's first message."""
    origin, messages = _origin(conversation), list(conversation.messages)
    first = next(number for number, message in enumerate(messages) if message.role == "user")
    for number, message in enumerate(messages):
        marks = message.content.count(MARK)
        if marks > (number == first):
            more = number == first
            reason = f"'{MARK}' stands in it {marks} times." if more else f"'{MARK}' stands outside the first question."
            mend = f"One picture has one '{MARK}', in the user's first message; for several write an object of marks."
            raise RecordError(origin, places[number], reason, mend)
        if found := NUMBERED.search(message.content):
            reason = f"'{found[0]}' stands in it, but 'image' is a single path."
            raise RecordError(origin, places[number], reason, f'Write {{"{found[0]}": "the path"}} into \'image\'.')
    if MARK not in messages[first].content:
        messages[first] = replace(messages[first], content=f"{MARK}\n{messages[first].content}")
    return replace(conversation, messages=tuple(messages), images=(refer(MARK, path, field, origin),))


def _several(conversation: Conversation, image: dict[str, Any], places: list[str]) -> Conversation:
    """Give the conversation the pictures of an object: mark -> path."""
    origin = _origin(conversation)
    for mark in image:
        if not NUMBERED.fullmatch(mark):
            reason = f"'{mark}' is no mark of a picture."
            raise RecordError(origin, "image", reason, "Marks are <image_00>, <image_01> and so on.")
    seen: set[str] = set()
    for message, place in zip(conversation.messages, places, strict=True):
        for mark in NUMBERED.findall(message.content):
            problem = "it is not among the pictures" if mark not in image else "it stands in the texts twice"
            if mark not in image or mark in seen:
                mend = f"Name its file in 'image', and write each mark once. Marks there: {', '.join(image)}."
                raise RecordError(origin, place, f"'{mark}': {problem}.", mend)
            if message.role == "assistant":
                reason = f"'{mark}' stands in an answer: the model reads pictures, but does not give any."
                raise RecordError(origin, place, reason, "Move it into the user's message.")
            seen.add(mark)
    for mark in image:
        if mark not in seen:
            reason = "its mark stands nowhere in the texts."
            raise RecordError(origin, f"image.{mark}", reason, f"Put {mark} where the picture belongs, or remove it.")
    images = tuple(refer(mark, path, f"image.{mark}", origin) for mark, path in image.items())
    return replace(conversation, images=images)


def _origin(conversation: Conversation) -> Origin:
    assert conversation.origin is not None  # every parsed record has one
    return conversation.origin
