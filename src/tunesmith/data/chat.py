"""Conversation -> Example: the only template code, used by training, chat, evaluation and serving alike.

A chat format cuts a conversation into pieces of text; an answer is a piece of its own. Each piece is tokenised so
that it does not depend on what follows, so the prompt part of a training row is, token for token, what chat sends.
The mask is made here, piece by piece, and never recovered from the ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, Protocol

from ..errors import ConfigError, DataError, ModelError, RecordError
from .template import Template
from .tokenizer import TextTokenizer
from .types import IGNORE, Conversation, Example, Message

Encoding = Literal["message", "conversation"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a rendered conversation.

    `answer`: written by the model. `learned`: trained on. `ends`: after this piece the turn ends, but the text holds
    no stop token, so that the end is taught by a label alone.
    """

    text: str
    answer: bool = False
    learned: bool = False
    ends: bool = False


class ChatFormat(Protocol):
    """How conversations of a model are written down."""

    @property
    def name(self) -> str:
        """A short name for reports and fingerprints."""

    @property
    def encoding(self) -> Encoding:
        """`message`: each piece is tokenised as a text of its own. `conversation`: the whole text at once."""

    @property
    def bos(self) -> bool:
        """Whether the begin token is put in front (a Jinja template writes its own)."""

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """Texts at which an answer is over although they are not single tokens."""

    def stop_ids(self, tokenizer: TextTokenizer) -> tuple[int, ...]:
        """Return the tokens that end an answer; the first is the one that is taught by a label alone."""

    def pieces(self, messages: Sequence[Message], open_turn: bool) -> list[Piece]:
        """Cut a conversation into pieces; with `open_turn` the text ends where the model's answer begins."""


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

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """The markers: a model that writes one has begun the next turn by itself."""
        return (self.user, self.assistant)

    def stop_ids(self, tokenizer: TextTokenizer) -> tuple[int, ...]:
        """Return the end token."""
        return _eos(tokenizer)

    def pieces(self, messages: Sequence[Message], open_turn: bool) -> list[Piece]:
        """Return one piece a message; a user's message already opens the answer."""
        pieces = []
        for message in messages:
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

    def stop_ids(self, tokenizer: TextTokenizer) -> tuple[int, ...]:
        """Return the tokens that the template puts behind an answer, and the end token."""
        found = [tokenizer.id(token) for token in self.stop]
        eos = [tokenizer.eos_id] if tokenizer.eos_id is not None else []
        ids = tuple(dict.fromkeys(number for number in [*found, *eos] if number is not None))
        return ids or _eos(tokenizer)

    def pieces(self, messages: Sequence[Message], open_turn: bool) -> list[Piece]:
        """Return the rendering, cut before and after every answer."""
        whole = self.template.render(messages, generation_prompt=open_turn)
        pieces, done = [], 0
        for number, message in enumerate(messages):
            if message.role != "assistant":
                continue
            prompt = self.template.render(messages[:number], generation_prompt=True)
            if not whole.startswith(prompt) or len(prompt) < done:
                raise DataError(
                    f"the chat template writes messages[{number}] differently in training and in chat (the prompt "
                    "before it is not the beginning of the whole rendering)."
                )
            content = message.content.strip()
            at = whole.find(content, len(prompt))
            if at < 0:
                raise DataError(f"the chat template does not write out messages[{number}].content as it is.")
            end, ends = self._answer_end(whole, at + len(content))
            pieces.append(Piece(whole[done : len(prompt)]))
            pieces.append(Piece(whole[len(prompt) : end], answer=True, learned=message.train, ends=ends))
            done = end
        return [*pieces, Piece(whole[done:])] if done < len(whole) else pieces

    def _answer_end(self, whole: str, at: int) -> tuple[int, bool]:
        """Return where the answer that was written up to `at` ends, and whether its end has no token."""
        rest = whole[at:].lstrip()
        for token in self.specials:
            if rest.startswith(token):
                return len(whole) - len(rest) + len(token), False
        return at, True


def _eos(tokenizer: TextTokenizer) -> tuple[int, ...]:
    if tokenizer.eos_id is None:
        raise ModelError(
            f"{tokenizer.source}: tokenizer_config.json names no eos_token, so the end of an answer cannot be taught."
        )
    return (tokenizer.eos_id,)


def template_chat(tokenizer: TextTokenizer, default: ChatFormat | None = None) -> ChatFormat:
    """Return the chat format of a tokenizer's own template, or `default` where it has none.

    A template that writes what MarkerChat writes becomes MarkerChat, so that its layout and stop rules hold.

    Raises:
        ModelError: there is neither a template nor a default; or the template is broken.
    """
    if tokenizer.chat_template is None:
        if default is None:
            raise ModelError(
                f"{tokenizer.source} has no chat template (no chat_template.jinja, no chat_template in "
                "tokenizer_config.json). It is probably a base model; use its chat or instruct version, or put a "
                "template beside the tokenizer."
            )
        return default
    template = Template(tokenizer.chat_template, tokenizer.special, tokenizer.source)
    probe = (Message("system", " s "), Message("user", " u "), Message("assistant", " a "), Message("user", "v"))
    for marker in (MarkerChat(), MarkerChat(strip=True, name="minicpm-strip")):
        if template.renders(probe, "".join(piece.text for piece in marker.pieces(probe, open_turn=True))):
            return marker
    specials = tuple(sorted(tokenizer.added.values(), key=len, reverse=True))
    return JinjaChat(template, specials, template.stop_tokens(specials))


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How conversations become rows.

    `max_length`: tokens a row may have; what is over is cut at the right and counted. `end_of_turn`: teach the end
    of `every` answer, or once at the `last` one (the published MiniCPM-2B behaviour); only matters to formats that
    write no stop token between turns.
    """

    max_length: int | None = None
    end_of_turn: Literal["every", "last"] = "every"


def render(
    conversation: Conversation,
    chat: ChatFormat,
    tokenizer: TextTokenizer,
    options: RenderOptions = RenderOptions(),
    open_turn: bool = False,
) -> Example:
    """Return a conversation as ids and labels; with `open_turn`, as the prompt that chat sends (no labels).

    Raises:
        RecordError: the template cannot write it, or `max_length` leaves nothing to learn from.
    """
    origin = conversation.origin or "conversation"
    try:
        pieces = [piece for piece in chat.pieces(conversation.messages, open_turn) if piece.text or piece.answer]
    except DataError as error:
        raise RecordError(origin, "messages", str(error), "Change the record, or the model's template.") from None
    stops = chat.stop_ids(tokenizer)
    example = Example([], [], conversation.origin)
    if chat.bos:
        _append(example, [_bos(tokenizer)], [IGNORE])
    end_label = IGNORE  # the label of the next token, where a turn has just ended without a token for it
    for piece, ids in zip(pieces, _encode(pieces, tokenizer, chat.encoding), strict=True):
        labels = list(ids) if piece.learned and not open_turn else [IGNORE] * len(ids)
        if ids:
            if end_label != IGNORE:
                example.stops.append(len(example.labels))
                labels[0] = end_label
            end_label = IGNORE
        if piece.learned and not open_turn and ids and ids[-1] in stops:
            example.stops.append(len(example.labels) + len(ids) - 1)
        _append(example, ids, labels)
        if piece.ends and piece.learned and not open_turn and options.end_of_turn == "every":
            end_label = stops[0]
    if pieces and pieces[-1].ends and not open_turn:
        learned = pieces[-1].learned
        if learned:
            example.stops.append(len(example.labels))
        _append(example, [stops[0]], [stops[0] if learned else IGNORE])
    return example if open_turn else _cut(example, origin, options.max_length)


def _encode(pieces: list[Piece], tokenizer: TextTokenizer, encoding: Encoding) -> list[list[int]]:
    if encoding == "message":
        return [tokenizer.encode(piece.text) for piece in pieces]
    starts = [0, *accumulate(len(piece.text) for piece in pieces)][:-1]
    return tokenizer.encode_cut("".join(piece.text for piece in pieces), starts)


def _append(example: Example, ids: list[int], labels: list[int]) -> None:
    example.input_ids += ids
    example.labels += labels


def _bos(tokenizer: TextTokenizer) -> int:
    if tokenizer.bos_id is None:
        raise ConfigError(f"{tokenizer.source}: the chat format begins with a bos token, but the tokenizer names none.")
    return tokenizer.bos_id


def _cut(example: Example, origin: object, max_length: int | None) -> Example:
    total = len(example.input_ids)
    if max_length is not None and total > max_length:
        example.cut = total - max_length
        del example.input_ids[max_length:], example.labels[max_length:]
        example.stops = [position for position in example.stops if position < max_length]
    if example.label_count == 0:
        if example.cut:
            reason = f"nothing is left to learn from: the row has {total} tokens and is cut to max_length {max_length}."
            raise RecordError(origin, "messages", reason, f"Raise max_length (to {total} for the whole row).")
        raise RecordError(origin, "messages", "it holds nothing to learn from.", "Give it an answer that is trained.")
    return example
