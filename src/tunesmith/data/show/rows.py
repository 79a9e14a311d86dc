"""Conversation -> View: its rows, token by token, with what each token is for. A pure function; nothing is printed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from ...errors import RecordError
from ..chat import ChatFormat, RenderOptions, render, render_rows
from ..tokenizer import TextTokenizer
from ..types import IGNORE, Conversation, Example, Origin
from .pieces import Pieces
from .proof import Proof, prove

Kind = Literal["begin", "prompt", "context", "learned", "stop", "cut"]
KINDS: tuple[Kind, ...] = ("begin", "prompt", "context", "learned", "stop", "cut")
"""begin: the row's first token, given and never predicted; prompt: read; context: an answer that is read but not
learned; learned: predicted; stop: the learned end of an answer; cut: over max_length, never seen by the model."""


SLOTS = "▦×"
"""What stands for the slots of an image, before their number."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One text of a row: usually one token, several where they share a character.

    `names`: the tokens as the vocabulary spells them. `labels` stands beside `ids`: the id itself where it is learned,
    IGNORE where it is not, and another id where that is taught in its place (see `taught`).
    """

    position: int
    ids: tuple[int, ...]
    names: tuple[str, ...]
    labels: tuple[int, ...]
    text: str
    kind: Kind
    special: bool = False
    broken: bool = False
    taught: str = ""
    """The token that the model learns to say here although the row goes on with another one; empty: none."""


@dataclass(frozen=True, slots=True)
class Counts:
    """The figures of a row; `learned` counts all labels, `stops` those of them that end an answer."""

    tokens: int
    learned: int
    stops: int
    cut: int
    cut_labels: int

    @property
    def share(self) -> float:
        """The share of the tokens that is learned, 0 to 1."""
        return self.learned / self.tokens if self.tokens else 0.0


@dataclass(frozen=True)
class Row:
    """One row of a record; `example` is exactly what training gets (None: the record is refused)."""

    shown: list[Shown]
    example: Example | None = None
    stops: int = 0

    @property
    def counts(self) -> Counts:
        """The figures of the row."""
        kept = [(item, label) for item in self.shown if item.kind != "cut" for label in item.labels]
        cut = [label for item in self.shown if item.kind == "cut" for label in item.labels]
        learned = sum(label != IGNORE and item.kind != "begin" for item, label in kept)
        return Counts(len(kept), learned, self.stops, len(cut), sum(label != IGNORE for label in cut))


@dataclass(frozen=True)
class View:
    """One record under the microscope: its rows, its proofs, or the error that says why it cannot be learned.

    A record that can be written but not learned has both rows and an error. `rejected`: it is preference data, and
    its worse answer is not shown. `disliked`: its answer is marked as a bad one.
    """

    record: int
    origin: Origin
    rows: list[Row] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    error: RecordError | None = None
    plain: bool = False
    rejected: bool = False
    disliked: bool = False

    @property
    def good(self) -> bool:
        """Whether it can be learned, and every proof holds."""
        return self.error is None and all(proof.holds for proof in self.proofs)


@dataclass
class Microscope:
    """What records are looked at with: the model's chat format and tokenizer, and how rows are made."""

    chat: ChatFormat
    tokenizer: TextTokenizer
    options: RenderOptions = field(default_factory=RenderOptions)
    pieces: Pieces = field(init=False)

    def __post_init__(self) -> None:
        """Read the vocabulary."""
        self.pieces = Pieces(self.tokenizer)

    def look(self, conversation: Conversation) -> View:
        """Return a conversation as training sees it; what is wrong with it stands in the view."""
        origin = conversation.origin or Origin("conversation", 0)
        error, examples = None, []
        try:
            examples = render_rows(conversation, self.chat, self.tokenizer, self.options)
        except RecordError as refused:
            error = refused
        view = View(
            origin.record,
            origin,
            error=error,
            plain=conversation.text is not None,
            rejected=conversation.rejected is not None,
            disliked=conversation.liked is False,
        )
        try:
            whole, answers = self._whole(conversation)
        except RecordError:
            return view  # it cannot be written down at all
        if conversation.text is not None:
            return replace(view, rows=self._text_rows(examples))
        row = self._row(whole, answers, examples[0] if examples else None)
        return replace(
            view, rows=[row], proofs=prove(conversation, self.chat, self.tokenizer, whole.input_ids, answers)
        )

    def _whole(self, conversation: Conversation) -> tuple[Example, list[bool] | None]:
        """Return the row without a limit, and for each token whether it is a part of an answer.

        Raises:
            RecordError: the conversation cannot be written down.
        """
        options = replace(self.options, max_length=None)
        trained = tuple(replace(message, train=True) for message in conversation.messages)
        every = replace(conversation, messages=trained, liked=None)
        marked = render(every, self.chat, self.tokenizer, RenderOptions(end_of_turn="last"))
        try:
            whole = render(conversation, self.chat, self.tokenizer, options)
        except RecordError:  # nothing of it is learned: it is shown all the same
            whole = Example(list(marked.input_ids), [IGNORE] * len(marked.input_ids), marked.origin)
        if whole.input_ids != marked.input_ids:
            return whole, None
        return whole, [label != IGNORE for label in marked.labels]

    def _row(self, whole: Example, answers: list[bool] | None, example: Example | None) -> Row:
        limit = self.options.max_length
        end = len(whole.input_ids) if limit is None else min(limit, len(whole.input_ids))
        stops = {position for position in whole.stops if position < end}
        kinds: list[Kind] = []
        for position, label in enumerate(whole.labels):
            own = label == whole.input_ids[position]
            answered = answers is not None and answers[position]
            if position >= end:
                kinds.append("cut")
            elif position == 0:
                kinds.append("begin")
            elif own:
                kinds.append("stop" if position in stops else "learned")
            else:
                kinds.append("context" if answered else "prompt")
        return Row(self._shown(whole, kinds), example, len(stops))

    def _text_rows(self, examples: list[Example]) -> list[Row]:
        """Return the rows of a plain text; each but the first begins with the last token of the one before."""
        rows = []
        for example in examples:
            stops = set(example.stops)
            kinds: list[Kind] = ["begin", *("stop" if n in stops else "learned" for n in range(1, len(example.labels)))]
            rows.append(Row(self._shown(example, kinds), example, len(stops)))
        return rows

    def _shown(self, example: Example, kinds: list[Kind]) -> list[Shown]:
        """Join the tokens of each character that are of one kind."""
        ids, labels, pieces = example.input_ids, example.labels, self.pieces
        cuts = [n for n in range(1, len(ids)) if kinds[n] != kinds[n - 1] or labels[n] not in (IGNORE, ids[n])]
        shown = []
        for glyph in pieces.glyphs(ids, cuts):
            part = slice(glyph.start, glyph.end)
            label = labels[glyph.start]
            taught = pieces.name(label) if label not in (IGNORE, ids[glyph.start]) else ""
            shown.append(
                Shown(
                    position=glyph.start,
                    ids=tuple(ids[part]),
                    names=tuple(pieces.name(number) for number in ids[part]),
                    labels=tuple(labels[part]),
                    text=glyph.text,
                    kind=kinds[glyph.start],
                    special=ids[glyph.start] in pieces.specials,
                    broken=glyph.broken,
                    taught=taught,
                )
            )
        return _slots_joined(shown, example)


def _slots_joined(shown: list[Shown], example: Example) -> list[Shown]:
    """Return the texts with all slots of an image as one: they are one token, again and again."""
    if not example.pictures:
        return shown
    slots = {first: last for picture in example.pictures for first, last in picture.slots}
    found: list[Shown] = []
    end = 0
    for item in shown:
        if item.position < end:
            last = found[-1]
            ids, names, labels = (*last.ids, *item.ids), (*last.names, *item.names), (*last.labels, *item.labels)
            found[-1] = replace(last, ids=ids, names=names, labels=labels, text=f"{SLOTS}{len(ids)}")
        else:
            found.append(replace(item, text=f"{SLOTS}1") if item.position in slots else item)
            end = slots.get(item.position, end)
    return found
