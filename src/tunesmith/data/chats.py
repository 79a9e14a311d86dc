"""The chat formats: MiniCPM's markers, any model's Jinja template, and which of them a model folder has.

A model whose published folder has no template gets a line in `WITHOUT_TEMPLATE`, one whose config.json does not name its
model_type a line in `ARCHITECTURES`; nothing else is told apart here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError, DataError, ModelError
from .chat import ChatFormat, Encoding, Piece
from .chat_minicpmv import MiniCPMVChat
from .slicing import Slicing
from .template import Template, read_template, shipped_names
from .tokenizer import TextTokenizer
from .types import Conversation, Message

_log = logging.getLogger("tunesmith")


@dataclass(frozen=True)
class MarkerChat:
    """MiniCPM's published layout: `<用户>question<AI>answer`, other roles are their content alone, nothing between.

    Source: the chat template in the tokenizer config of MiniCPM-2B-sft, and the published fine-tuning script, which
    tokenises every message on its own. The markers are ordinary text, not special tokens.
    """

    user: str = "<用户>"
    assistant: str = "<AI>"
    strip: bool = False
    name: str = "minicpm"
    encoding: Encoding = "message"
    bos: bool = True
    sees: bool = False
    keep: tuple[str, ...] | None = None

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """The markers: a model that writes one has begun the next turn by itself."""
        return (self.user, self.assistant)

    def stop_ids(self, tokenizer: TextTokenizer) -> tuple[int, ...]:
        """Return the end token."""
        return _eos(tokenizer)

    def pieces(self, conversation: Conversation, open_turn: bool) -> list[Piece]:
        """Return one piece a message; a user's message already opens the answer."""
        pieces = []
        for message in with_tools_in_text(conversation).messages:
            text = message.content.strip() if self.strip else message.content
            if message.role == "assistant":
                pieces.append(Piece(text, answer=True, learned=message.train, ends=True))
            else:
                pieces.append(Piece(f"{self.user}{text}{self.assistant}" if message.role == "user" else text))
        return pieces


@dataclass(frozen=True)
class JinjaChat:
    """Any model's own chat template, with the mask made by rendering.

    What chat would send for the conversation up to an answer must be the beginning of the whole rendering; the
    answer goes from there to the end of the first special token behind the content.
    """

    template: Template
    specials: tuple[str, ...]
    stop: tuple[str, ...] = ()
    name: str = "jinja"
    encoding: Encoding = "conversation"
    bos: bool = False
    stop_texts: tuple[str, ...] = ()
    sees: bool = False
    keep: tuple[str, ...] | None = None

    def stop_ids(self, tokenizer: TextTokenizer) -> tuple[int, ...]:
        """Return the tokens that the template puts behind an answer, and the end token."""
        found = [tokenizer.id(token) for token in self.stop]
        eos = [tokenizer.eos_id] if tokenizer.eos_id is not None else []
        ids = tuple(dict.fromkeys(number for number in [*found, *eos] if number is not None))
        return ids or _eos(tokenizer)

    def pieces(self, conversation: Conversation, open_turn: bool) -> list[Piece]:
        """Return the rendering, cut before and after every answer."""
        if not self.template.knows_tools:
            conversation = with_tools_in_text(conversation)
        talk = _Talk(self.template, conversation, open_turn)
        whole, pieces, done = talk.written(conversation.messages), [], 0
        for number, message in enumerate(conversation.messages):
            if message.role != "assistant":
                continue
            prompt = self.template.render(conversation.messages[:number], True, conversation.tools)
            if not whole.startswith(prompt) or len(prompt) < done:
                raise DataError(
                    f"the chat template writes messages[{number}] differently in training and in chat (the prompt "
                    "before it is not the beginning of the whole rendering)."
                )
            end, ends = self._end(talk, whole, len(prompt), number)
            pieces.append(Piece(whole[done : len(prompt)]))
            pieces.append(Piece(whole[len(prompt) : end], answer=True, learned=message.train, ends=ends))
            done = end
        if pieces and pieces[-1].ends and conversation.messages[-1].role == "assistant" and not open_turn:
            done = len(whole)  # the last answer ends with the end token, in place of what the template writes there
        return [*pieces, Piece(whole[done:])] if done < len(whole) else pieces

    def _end(self, talk: _Talk, whole: str, start: int, number: int) -> tuple[int, bool]:
        """Return where message `number`, written from `start` on, ends, and whether its end has no token."""
        message = talk.conversation.messages[number]
        if message.calls:
            return self._calls_end(talk, whole, start, number)
        content = message.content.strip()
        at = whole.find(content, start)
        if at < 0:
            raise DataError(f"the chat template does not write out messages[{number}].content as it is.")
        if whole.find(content, at + 1) >= 0:  # several times; the template itself may write it in front of the answer
            marked = talk.with_mark(number).find(_MARK, start)
            at = marked if whole.startswith(content, marked) else at
        at += len(content)
        rest = whole[at:].lstrip()
        for token in self.specials:
            if rest.startswith(token):
                return len(whole) - len(rest) + len(token), False
        return at, True

    def _calls_end(self, talk: _Talk, whole: str, start: int, number: int) -> tuple[int, bool]:
        """Tool calls are written in the template's own words: the turn's rendering alone says where they end."""
        turn = self.template.render(talk.conversation.messages[: number + 1], False, talk.conversation.tools)
        if not whole.startswith(turn.rstrip()):
            raise DataError("the chat template writes a turn that calls tools differently when the talk goes on.")
        ends = [at + len(token) for token in self.stop if (at := turn.rfind(token, start)) >= 0]
        return (max(ends), False) if ends else (len(turn.rstrip()), True)


_MARK = "\ue000answer\ue000"  # private use: no text has it


@dataclass(frozen=True)
class _Talk:
    """A conversation on its way through a template."""

    template: Template
    conversation: Conversation
    open_turn: bool

    def written(self, messages: tuple[Message, ...]) -> str:
        """Return messages as text."""
        return self.template.render(messages, self.open_turn, self.conversation.tools)

    def with_mark(self, number: int) -> str:
        """Return the whole as text, with a mark in place of the content of message `number`."""
        messages = list(self.conversation.messages)
        messages[number] = replace(messages[number], content=_MARK)
        return self.written(tuple(messages))


def with_tools_in_text(conversation: Conversation) -> Conversation:
    """Return the conversation with its tools and calls written into the texts, for layouts without a form for them.

    The descriptions go behind the system text; a call is its JSON, behind what the message says besides.
    """
    messages = conversation.messages
    if any(message.calls for message in messages):
        messages = tuple(
            replace(m, content="\n".join(filter(None, (m.content, m.calls))), calls="") if m.calls else m
            for m in messages
        )
    if conversation.tools:
        text = (
            f"Tools that you can call:\n{conversation.tools}\n"
            'To call one, answer with JSON alone: {"name": ..., "arguments": {...}}\n'
        )
        if messages and messages[0].role == "system":
            messages = (replace(messages[0], content=f"{messages[0].content}\n{text}"), *messages[1:])
        else:
            messages = (Message("system", text), *messages)
    return conversation if messages is conversation.messages else replace(conversation, messages=messages, tools="")


def _eos(tokenizer: TextTokenizer) -> tuple[int, ...]:
    if tokenizer.eos_id is None:
        raise ModelError(
            f"{tokenizer.source}: tokenizer_config.json names no eos_token, so the end of an answer cannot be taught."
        )
    return (tokenizer.eos_id,)


def template_chat(tokenizer: TextTokenizer) -> ChatFormat:
    """Return the chat format of a tokenizer's template.

    A template that writes what MarkerChat writes becomes MarkerChat, so that its layout and stop rules hold.

    Raises:
        ModelError: there is no template, or it is broken.
    """
    if tokenizer.chat_template is None:
        raise ModelError(
            f"{tokenizer.source} has no chat template (no chat_template.jinja, no chat_template in "
            "tokenizer_config.json). It is probably a base model; use its chat or instruct version, or choose a "
            f"template (chat_template: {', '.join(shipped_names())}, or a .jinja file)."
        )
    template = Template(tokenizer.chat_template, tokenizer.special, tokenizer.source)
    probe = (Message("system", " s "), Message("user", " u "), Message("assistant", " a "), Message("user", "v"))
    for marker in (MarkerChat(), MarkerChat(strip=True, name="minicpm-strip")):
        if template.renders(probe, "".join(piece.text for piece in marker.pieces(Conversation(probe), open_turn=True))):
            return marker
    specials = tuple(sorted(tokenizer.added.values(), key=len, reverse=True))
    tokens, texts = template.ending(specials)
    return JinjaChat(template, specials, tokens, stop_texts=texts)


WITHOUT_TEMPLATE = {"minicpm": "minicpm", "transnormer": "human-assistant"}
"""model_type -> the shipped template that models are talked to with whose folder has none."""

ARCHITECTURES = {"TransnormerForCausalLM": "transnormer"}
"""Class named in a config.json without a model_type -> the model_type; the class itself is never looked for."""


def model_type_of(config: Mapping[str, Any]) -> str | None:
    """Return the model_type of a config.json, from its `architectures` where it names none."""
    named, classes = config.get("model_type"), config.get("architectures")
    if named is not None:
        return named if isinstance(named, str) else None
    found = (ARCHITECTURES.get(name) for name in classes if isinstance(name, str)) if isinstance(classes, list) else ()
    return next((kind for kind in found if kind is not None), None)


def with_template(tokenizer: TextTokenizer, model_type: str | None, chosen: str | None = None) -> TextTokenizer:
    """Return the tokenizer with the template that holds: the chosen one, else its own, else its model_type's usual one.

    `chosen` is the name of a shipped template or the path of a `.jinja` file. A notice goes to the logger "tunesmith"
    where it takes the place of another one that the model has.

    Raises:
        ConfigError: there is no such template, or the model sees.
    """
    if chosen is None:
        usual = WITHOUT_TEMPLATE.get(model_type or "") if tokenizer.chat_template is None else None
        return replace(tokenizer, chat_template=read_template(usual)) if usual is not None else tokenizer
    if model_type == "minicpmv":
        raise ConfigError(
            f"chat_template: {chosen} - a model that sees has its own layout, since no template says where pictures "
            "go. Leave chat_template out."
        )
    text = read_template(chosen)
    if tokenizer.chat_template not in (None, text):
        _log.warning("%s has a chat template of its own; '%s' is used instead.", tokenizer.source, chosen)
    return replace(tokenizer, chat_template=text)


def chat_for(model_type: str | None, tokenizer: TextTokenizer, config: Mapping[str, Any] | None = None) -> ChatFormat:
    """Return the chat format of a model: its own template, else what its model_type is known for.

    A model that sees has its own layout in any case: no template says where pictures go. `config` (the content of its
    config.json) says how it cuts them.

    Raises:
        ModelError: it has neither.
    """
    if model_type == "minicpmv":
        return MiniCPMVChat(Slicing.of(config or {}))
    return template_chat(with_template(tokenizer, model_type))


def load_chat(folder: str | Path, chat_template: str | None = None) -> tuple[TextTokenizer, ChatFormat]:
    """Return tokenizer and chat format of a model folder, without loading the model; a tokenizer's folder will do.

    `chat_template`: as `chosen` of `with_template`.

    Raises:
        ModelError: there is no tokenizer, or no chat format.
        ConfigError: as `with_template`.
    """
    config = _config(Path(folder))
    kind = model_type_of(config)
    tokenizer = with_template(TextTokenizer.load(folder), kind, chat_template)
    return tokenizer, chat_for(kind, tokenizer, config)


def _config(folder: Path) -> dict[str, Any]:
    for name in ("config.json", "mlc-chat-config.json"):  # the second: packages of MLC-LLM, which have no other
        if (folder / name).is_file():
            try:
                config: Any = json.loads((folder / name).read_text(encoding="utf-8"))
            except ValueError as error:
                raise ModelError(f"{folder / name} is not valid JSON: {error}. Fetch the file again.") from None
            return config if isinstance(config, dict) else {}
    return {}
