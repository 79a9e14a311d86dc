"""Turns of a conversation, in the words of any format: who speaks, what is said, what is called, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ... import lookup
from ...errors import RecordError
from ..types import Conversation, Message, Origin
from ._fields import closest, empty, filled, kind, text_of
from ._images import MARK, listed, numbered
from ._tools import calls_in, calls_of, tools_of

ROLES = ("system", "user", "assistant", "tool")
CALL = "call"
"""What a style maps a speaker to whose words are the call of a tool, as JSON."""
_FOREIGN = {"human": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant", "function": "tool"}
_FOLLOWS = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}
"""Which roles may come after which; None is the beginning."""
_UNREAD = ("reasoning_content", "reasoning", "thinking", "refusal", "audio")


@dataclass(frozen=True)
class Style:
    """How a format writes a turn: the possible names of its two fields, the best first, and what its speakers mean."""

    role: tuple[str, ...]
    content: tuple[str, ...]
    roles: dict[str, str]


ROLE_CONTENT = Style(("role",), ("content",), {role: role for role in ROLES})
FROM_VALUE = Style(
    ("from", "role"),
    ("value", "content"),
    {
        "human": "user",
        "gpt": "assistant",
        "system": "system",
        "function_call": CALL,
        "observation": "tool",
        "user": "user",
        "assistant": "assistant",
        "tool": "tool",
        "function": "tool",
        **dict.fromkeys(("chatgpt", "bard", "bing", "bot", "model"), "assistant"),
    },
)


class Draft:
    """A conversation while it is read: its messages, with the name of the field that says who speaks each."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.messages: list[Message] = []
        self.places: list[str] = []
        self._pictures: list[tuple[str, Any]] = []  # those that stand inside the contents

    def say(self, role: str, value: Any, field: str, missing: str = "") -> None:
        """Add a message whose text is a field of its own; `missing` says what a blank text means.

        Raises:
            RecordError: it is no text; with `missing`, also if it is blank.
        """
        text = filled(value, field, self.origin, missing) if missing else text_of(value, field, self.origin)
        self.messages.append(Message(role, text))
        self.places.append(field)

    def system(self, record: dict[str, Any], field: str = "system") -> None:
        """Add the system text of a record that has it in a field of its own."""
        if not empty(record.get(field)):
            self.say("system", record[field], field)

    def history(self, value: Any) -> None:
        """Add earlier turns that are written as pairs: [["question", "answer"], ...].

        Raises:
            RecordError: they are no pairs of texts.
        """
        if empty(value):
            return
        if not isinstance(value, list):
            mend = 'Write a list of pairs: [["question", "answer"], ...].'
            raise RecordError(self.origin, "history", f"it is {kind(value)}, not a list.", mend)
        for number, pair in enumerate(value):
            place = f"history[{number}]"
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                what = f"a list of {len(pair)}" if isinstance(pair, list) else kind(pair)
                raise RecordError(self.origin, place, f"it is {what}, not a pair.", 'Write ["question", "answer"].')
            self.say("user", pair[0], f"{place}[0]", "a turn without a question")
            self.say("assistant", pair[1], f"{place}[1]", "a turn without an answer")

    def read(self, turns: Any, field: str, style: Style) -> None:
        """Add the turns of a list.

        Raises:
            RecordError: names the message and its field.
        """
        if not isinstance(turns, list):
            mend = f'Write a list of {{"{style.role[0]}": ..., "{style.content[0]}": ...}}.'
            raise RecordError(self.origin, field, f"it is {kind(turns)}, not a list.", mend)
        if not turns:
            raise RecordError(self.origin, field, "it is an empty list.", "Fill it in, or remove the record.")
        for number, turn in enumerate(turns):
            place = f"{field}[{number}]"
            if not self._plain(turn, place, style):
                self.turn(turn, place, style)

    def _plain(self, turn: Any, place: str, style: Style) -> bool:
        """Add a turn that is nothing but a known speaker and a good text, as nearly all are; tell whether it was."""
        if not isinstance(turn, dict) or len(turn) != 2:
            return False
        speaker, text = turn.get(style.role[0]), turn.get(style.content[0])
        role = style.roles.get(speaker) if isinstance(speaker, str) else None
        if role is None or role == CALL or not isinstance(text, str) or not text or text.isspace():
            return False
        if not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                return False  # `turn` names what is wrong
        self.messages.append(Message(role, text))
        self.places.append(f"{place}.{style.role[0]}")
        return True

    def turn(self, turn: Any, place: str, style: Style) -> None:
        """Add one turn.

        Raises:
            RecordError: names the field at fault, the reason and the mend.
        """
        origin = self.origin
        if not isinstance(turn, dict):
            mend = f'Write {{"{style.role[0]}": ..., "{style.content[0]}": ...}}.'
            raise RecordError(origin, place, f"it is {kind(turn)}, not an object.", mend)
        if style is ROLE_CONTENT and "from" in turn and "role" not in turn:
            mend = "Rename 'from' to 'role' and 'value' to 'content', with the roles user and assistant."
            raise RecordError(origin, f"{place}.from", "messages name their speaker in 'role'.", mend)
        speaker = self._name(turn, place, style.role)
        role = _role(turn[speaker], f"{place}.{speaker}", style, origin)
        for field in _UNREAD:
            if not empty(turn.get(field)):
                mend = "Write what the model is to say into the text of the message, or remove the field."
                raise RecordError(origin, f"{place}.{field}", "it is not read, and so would not be learned.", mend)
        calls = self._calls(turn, place, role)
        if calls and empty(next((turn[name] for name in style.content if name in turn), None)):
            content = ""
        else:
            name = self._name(turn, place, style.content)
            content, field = turn[name], f"{place}.{name}"
            if role == CALL:
                role, content, calls = "assistant", "", calls_in(content, field, origin)
            else:
                content = self._text(content, field)
                missing = "a record without an answer" if role == "assistant" else "a user's message that says nothing"
                if not calls and role in ("user", "assistant"):
                    filled(content, field, origin, missing)
        self.messages.append(Message(role, content, _train(turn, place, origin), calls))
        self.places.append(f"{place}.{speaker}")

    def finish(self, record: dict[str, Any]) -> Conversation:
        """Return the conversation, with the tools and the pictures of its record.

        Raises:
            RecordError: the turns are in a wrong order, or pictures and marks do not agree.
        """
        check_order(self.messages, self.places, self.origin)
        tools = tools_of(record.get("tools"), "tools", self.origin)
        messages, given = tuple(self.messages), record.get("images")
        pictures = listed(given, self.origin) if given is not None else []
        if pictures and self._pictures:
            reason = "pictures are given here and inside the messages."
            raise RecordError(self.origin, "images", reason, "Name each picture in one place only.")
        pictures = pictures or self._pictures
        if not pictures and not isinstance(given, list):  # nothing says that `<image>` is more than a word
            return Conversation(messages, self.origin, tools=tools)
        messages, images = numbered(messages, pictures, self.turns, self.origin)
        return Conversation(messages, self.origin, tools=tools, images=images)

    @property
    def turns(self) -> list[str]:
        """The names of the messages: the objects, or the fields, that their texts stand in."""
        return [place.rpartition(".")[0] or place for place in self.places]

    def _name(self, turn: dict[str, Any], place: str, names: tuple[str, ...]) -> str:
        """Return which of a field's possible names a turn has."""
        for name in names:
            if name in turn:
                return name
        for key in turn:
            if meant := closest(key, names):
                reason = f"there is no such field, and '{meant}' is missing."
                raise RecordError(self.origin, f"{place}.{key}", reason, f"Rename it to '{meant}'.")
        raise RecordError(self.origin, f"{place}.{names[0]}", "it is missing.", f"Give the message a '{names[0]}'.")

    def _calls(self, turn: dict[str, Any], place: str, role: str) -> str:
        given = [name for name in ("tool_calls", "function_call") if not empty(turn.get(name))]
        if not given:
            return ""
        field = f"{place}.{given[0]}"
        if role != "assistant":
            raise RecordError(self.origin, field, f"'{role}' cannot call tools.", "Only 'assistant' calls tools.")
        if len(given) > 1:
            reason = "calls are given here and in 'tool_calls'."
            raise RecordError(self.origin, f"{place}.{given[1]}", reason, "Keep one of the two fields.")
        return calls_of(turn[given[0]], field, self.origin)

    def _text(self, content: Any, field: str) -> str:
        """Return a message's text; a list of parts is joined, with a mark where a picture stands."""
        if not isinstance(content, list):
            return text_of(content, field, self.origin)
        return "".join(self._part(part, f"{field}[{number}]") for number, part in enumerate(content))

    def _part(self, part: Any, place: str) -> str:
        sort = part.get("type") if isinstance(part, dict) else None
        if sort == "text":
            return text_of(part.get("text"), f"{place}.text", self.origin)
        if sort in ("image", "image_url"):
            path = next(
                (part[name] for name in ("image", "path", "url", "image_url") if not empty(part.get(name))), None
            )
            if isinstance(path, dict):
                path = path.get("url", path.get("path"))
            if path is not None:  # without a path it stands for the next one of `images`
                self._pictures.append((place, path))
            return MARK
        what = f"a part of type '{sort}'" if isinstance(sort, str) else kind(part)
        mend = 'Parts are {"type": "text", "text": ...} and {"type": "image", "image": "path"}.'
        raise RecordError(self.origin, place, f"it is {what}, which is not read.", mend)


def check_order(messages: Sequence[Message], places: Sequence[str], origin: Origin) -> None:
    """Check that the roles follow each other as in a conversation, and that an answer comes last.

    Raises:
        RecordError: names the message, by its entry in `places`.
    """
    before = None
    for message, field in zip(messages, places, strict=True):
        if message.role not in _FOLLOWS[before]:
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
        raise RecordError(origin, places[-1], reason, mend)


def _role(speaker: Any, field: str, style: Style, origin: Origin) -> str:
    if isinstance(speaker, str) and speaker in style.roles:
        return style.roles[speaker]
    names = list(style.roles)
    known = f"{'Roles' if style is ROLE_CONTENT else 'Speakers'} are {', '.join(names)}."
    if not isinstance(speaker, str):
        raise RecordError(origin, field, f"it is {kind(speaker)}, not a role.", known)
    name = speaker.strip().casefold()
    foreign = _FOREIGN.get(name) if style is ROLE_CONTENT else None
    hint = f"; did you mean '{foreign}'?" if foreign else lookup.nearest(name, names)
    raise RecordError(origin, field, f"there is no role '{speaker}'{hint or '.'}", known)


def _train(turn: dict[str, Any], place: str, origin: Origin) -> bool:
    """Return whether a message is learned: our `train`, OpenAI's `weight` (0 or 1), or `loss`."""
    said: dict[str, bool] = {}
    for field in ("train", "weight", "loss"):
        value = turn.get(field)
        if value is None:
            continue
        if not isinstance(value, bool) and (field == "train" or value not in (0, 1)):
            shown = f"it is {value}." if isinstance(value, (int, float)) else f"it is {kind(value)}."
            mend = (
                "Write true or false, without quotes." if field == "train" else "Write 0 (not learned) or 1 (learned)."
            )
            raise RecordError(origin, f"{place}.{field}", shown, mend)
        said[field] = bool(value)
    if len(set(said.values())) > 1:
        reason = f"{' and '.join(said)} contradict each other."
        raise RecordError(origin, f"{place}.{list(said)[-1]}", reason, "Keep one of them.")
    return all(said.values())
