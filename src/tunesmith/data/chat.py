"""Conversation -> Example: the only template code, used by training, chat, evaluation and serving alike.

A chat format (`chats.py`) cuts a conversation into pieces of text; an answer is a piece of its own. Each piece is
tokenised so that it does not depend on what follows, so the prompt part of a training row is, token for token, what
chat sends. The mask is made here, piece by piece, and never recovered from the ids.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate, groupby
from typing import Literal, Protocol

from ..errors import ConfigError, DataError, PictureError, RecordError
from .slots import bounds
from .tokenizer import TextTokenizer
from .types import IGNORE, Conversation, Example, Picture

Encoding = Literal["message", "conversation"]
LossOn = Literal["answers", "last_answer", "all"]
Answers = Literal["good", "pairs", "judged"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a rendered conversation.

    `answer`: written by the model. `learned`: trained on. `ends`: after this piece the turn ends, but the text holds
    no stop token, so that the end is taught by a label alone. `picture`: the placeholder of that picture of the
    conversation; it is never learned.
    """

    text: str
    answer: bool = False
    learned: bool = False
    ends: bool = False
    picture: int | None = None


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

    @property
    def sees(self) -> bool:
        """Whether pictures have a place in it."""

    @property
    def keep(self) -> tuple[str, ...] | None:
        """The special tokens that are recognised in what people write; None: all of them."""

    def stop_ids(self, tokenizer: TextTokenizer) -> tuple[int, ...]:
        """Return the tokens that end an answer; the first is the one that is taught by a label alone."""

    def pieces(self, conversation: Conversation, open_turn: bool) -> list[Piece]:
        """Cut a conversation into pieces; with `open_turn` the text ends where the model's answer begins.

        Raises:
            DataError: it cannot be written in this format.
        """


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How conversations become rows.

    `max_length`: tokens a row may have; what is over is cut at the right and counted. `end_of_turn`: teach the end
    of `every` answer, or once at the `last` one (the published MiniCPM-2B behaviour); only matters to formats that
    write no stop token between turns. `loss_on`: learn all `answers`, the `last_answer`, or `all`: the whole text,
    questions too. A message that says `"train": false` is never learned. `answers`: what of preference data becomes
    rows (`preferences.py`): the `good` answers, `pairs` of a good and a bad one, or each with how it is `judged`.
    """

    max_length: int | None = None
    end_of_turn: Literal["every", "last"] = "every"
    loss_on: LossOn = "answers"
    answers: Answers = "good"


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
    return _cut(_render(conversation, chat, tokenizer, options, open_turn), conversation, options, open_turn)


def render_rows(
    conversation: Conversation, chat: ChatFormat, tokenizer: TextTokenizer, options: RenderOptions
) -> list[Example]:
    """Return a record's rows: one for a conversation; for a plain text as many as `max_length` cuts it into.

    Each row of a text but the first begins with the last token of the one before, so that every label is learned once.

    Raises:
        RecordError: as `render`.
    """
    if conversation.text is None or options.max_length is None:
        return [render(conversation, chat, tokenizer, options)]
    whole, size = render(conversation, chat, tokenizer, replace(options, max_length=None)), options.max_length
    rows = []
    for start in range(0, max(len(whole.input_ids) - 1, 1), max(size - 1, 1)):
        part = slice(start, start + size)
        stops = [position - start for position in whole.stops if start < position < start + size]
        labels = [IGNORE, *whole.labels[part][1:]]  # the first token of a row cannot be predicted
        rows.append(Example(whole.input_ids[part], labels, whole.origin, stops=stops))
    return rows


def _render(
    conversation: Conversation, chat: ChatFormat, tokenizer: TextTokenizer, options: RenderOptions, open_turn: bool
) -> Example:
    origin = conversation.origin or "conversation"
    if conversation.images and not chat.sees:
        reason = "it holds pictures, and this model reads text only."
        raise RecordError(origin, "images", reason, "Choose a model that sees, or leave the pictures out.")
    if conversation.text is not None:
        return _plain_text(conversation, conversation.text, tokenizer)
    try:
        pieces = [piece for piece in chat.pieces(conversation, open_turn) if piece.text or piece.answer]
    except PictureError as error:
        raise RecordError(origin, "image", f"the picture '{error.picture}' {error.reason}", error.mend) from None
    except DataError as error:
        raise RecordError(origin, "messages", str(error), "Change the record, or the model's template.") from None
    pieces = [replace(piece, learned=False) for piece in pieces] if open_turn else _learned(pieces, options.loss_on)
    teach_every = options.end_of_turn == "every" and options.loss_on != "all"
    stops = chat.stop_ids(tokenizer)
    example = Example([], [], conversation.origin)
    if chat.bos:
        _append(example, [_bos(tokenizer)], [IGNORE])
    end_label = IGNORE  # the label of the next token, where a turn has just ended without a token for it
    pictures: list[Picture] = []
    for piece, ids in zip(pieces, _encode(pieces, chat, tokenizer), strict=True):
        if piece.picture is not None:
            start = len(example.input_ids)
            slots = tuple((first + start, last + start) for first, last in bounds(ids, tokenizer))
            pictures.append(Picture(conversation.images[piece.picture].path, slots))
        labels = list(ids) if piece.learned else [IGNORE] * len(ids)
        if ids:
            # Two answers with nothing between them leave the end of the first no place: the second is learned whole.
            if end_label != IGNORE and not (piece.answer and piece.learned):
                example.stops.append(len(example.labels))
                labels[0] = end_label
            end_label = IGNORE
        if piece.answer and piece.learned and ids and ids[-1] in stops:
            example.stops.append(len(example.labels) + len(ids) - 1)
        _append(example, ids, labels)
        if piece.ends and piece.learned and teach_every:
            end_label = stops[0]
    if pieces and pieces[-1].ends and not open_turn:
        learned = pieces[-1].learned
        if learned:
            example.stops.append(len(example.labels))
        _append(example, [stops[0]], [stops[0] if learned else IGNORE])
    example.pictures = tuple(pictures)
    return example


def _learned(pieces: list[Piece], loss_on: LossOn) -> list[Piece]:
    """Return the pieces with what `loss_on` makes of their `learned`."""
    if loss_on == "all":
        return [p if p.answer or p.picture is not None else replace(p, learned=True) for p in pieces]
    if loss_on == "last_answer":
        last = max((number for number, piece in enumerate(pieces) if piece.answer), default=-1)
        return [piece if number == last else replace(piece, learned=False) for number, piece in enumerate(pieces)]
    return pieces


def _plain_text(conversation: Conversation, text: str, tokenizer: TextTokenizer) -> Example:
    """Return begin token (if this tokenizer puts one), text, end token: all of it learned, as in pre-training."""
    begin = [tokenizer.bos_id] if tokenizer.add_bos and tokenizer.bos_id is not None else []
    end = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
    ids = [*begin, *tokenizer.encode(text), *end]
    labels = [IGNORE, *ids[1:]]  # nothing stands before the first token that could foretell it
    return Example(ids, labels, conversation.origin, stops=[len(ids) - 1] if end else [])


def _encode(pieces: list[Piece], chat: ChatFormat, tokenizer: TextTokenizer) -> list[list[int]]:
    """Return the ids of each piece. Placeholders of pictures are special tokens, at which a text is always cut."""
    texts = tokenizer if chat.keep is None else tokenizer.plain(chat.keep)
    found: list[list[int]] = []
    for pictures, group in groupby(pieces, key=lambda piece: piece.picture is not None):
        parts = [piece.text for piece in group]
        if pictures:
            found += [tokenizer.encode(part) for part in parts]
        elif chat.encoding == "message":
            found += texts.encode_all(parts)
        else:
            found += texts.encode_cut("".join(parts), [0, *accumulate(map(len, parts))][:-1])
    return found


def _append(example: Example, ids: list[int], labels: list[int]) -> None:
    example.input_ids += ids
    example.labels += labels


def _bos(tokenizer: TextTokenizer) -> int:
    if tokenizer.bos_id is None:
        raise ConfigError(f"{tokenizer.source}: the chat format begins with a bos token, but the tokenizer names none.")
    return tokenizer.bos_id


def _cut(example: Example, conversation: Conversation, options: RenderOptions, open_turn: bool) -> Example:
    """Cut a row at the right, count what that takes away, and refuse a row that teaches nothing."""
    if open_turn:
        return example
    if example.labels and example.labels[0] != IGNORE:  # nothing stands before it from which it could be predicted
        example.labels[0], example.stops = IGNORE, [position for position in example.stops if position]
    total, max_length = len(example.input_ids), options.max_length
    if max_length is not None and total > max_length:
        for number, picture in enumerate(example.pictures):
            if (end := picture.slots[-1][1] + 1) > max_length:
                reason = (
                    f"picture {number} ends at token {end} of {total}, and the row is cut to max_length {max_length}."
                )
                mend = f"Raise max_length (to {total} for the whole row); a row is never cut inside a picture."
                raise RecordError(conversation.origin or "conversation", "image", reason, mend)
        example.cut = total - max_length
        example.cut_labels = total - max_length - example.labels[max_length:].count(IGNORE)
        del example.input_ids[max_length:], example.labels[max_length:]
        example.stops = [position for position in example.stops if position < max_length]
    if conversation.liked is False:  # a bad answer: a valid record, but nothing to imitate
        example.labels, example.stops, example.cut_labels = [IGNORE] * len(example.labels), [], 0
    elif example.label_count == 0:
        origin = conversation.origin or "conversation"
        if example.cut:
            reason = f"nothing is left to learn from: the row has {total} tokens and is cut to max_length {max_length}."
            raise RecordError(origin, "messages", reason, f"Raise max_length (to {total} for the whole row).")
        raise RecordError(origin, "messages", "it holds nothing to learn from.", "Give it an answer that is trained.")
    return example
