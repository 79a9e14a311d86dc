"""The records of an evaluation: as rows with labels, and as questions with the answers that are expected."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any, Literal, NamedTuple

from .. import lookup
from ..data import formats, sources
from ..data.chat import ChatFormat, RenderOptions
from ..data.flow import Work
from ..data.picture_files import PictureFiles
from ..data.pipeline import Preparation, Prepared, expand_all
from ..data.report import DataReport, FileReport, refusal
from ..data.tokenizer import TextTokenizer
from ..data.types import Conversation, Message, Origin
from ..errors import DataError, RecordError

CHOICES = "choices"
"""The field of a record with the answers to choose from; formats ignore it."""


@dataclass(frozen=True)
class Question:
    """A conversation up to where an answer begins, and the answer that its record gives.

    `turn` is the number of the answer among the messages; `choices` are what may be answered, where that is known.
    """

    origin: Origin
    turn: int
    conversation: Conversation
    expected: Message
    choices: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return where it comes from, what is asked and what is expected."""
        messages = [{"role": message.role, "content": message.content} for message in self.conversation.messages]
        found: dict[str, Any] = {**vars_of(self.origin), "turn": self.turn, "prompt": messages}
        if self.conversation.images:
            found["images"] = {image.mark: image.path for image in self.conversation.images}
        found["expected"] = self.expected.content
        return {**found, "expected_calls": self.expected.calls} if self.expected.calls else found


class Record(NamedTuple):
    """A record that was read, with the answers that it names to choose from."""

    conversation: Conversation
    choices: tuple[str, ...]


@dataclass
class Source:
    """Files of records, and how they are read.

    `options` make rows; `choices` are those of every record, in place of its own; `every_answer`: each answer is asked
    for, behind its true history, and not the last one alone. `report` is what became of the records.
    """

    files: Sequence[str]
    options: RenderOptions = field(default_factory=RenderOptions)
    on_bad: Literal["stop", "skip"] = "stop"
    format: str | None = None
    pictures: PictureFiles = field(default_factory=PictureFiles)
    choices: tuple[str, ...] = ()
    every_answer: bool = False
    report: DataReport = field(default_factory=DataReport)

    def rows(self, chat: ChatFormat, tokenizer: TextTokenizer, shown: Callable[[int, float], None]) -> Prepared:
        """Return the records as training rows, with labels; `shown` is told records and share of the bytes.

        Raises:
            DataError: as `Preparation.run`.
        """
        work = Work(chat, tokenizer, self.options, self.format, pictures=self.pictures)
        prepared = Preparation(work, self.on_bad, progress=shown).run(self.files)
        if not self.report.files:  # nobody has read the records yet
            self.report.files += prepared.report.files
        return prepared

    def cut_at(self, length: int | None) -> Source:
        """Return the same files with rows of at most `length` tokens."""
        return replace(self, options=replace(self.options, max_length=length))

    @cached_property
    def records(self) -> list[Record]:
        """The conversations of all records that can be used.

        Raises:
            DataError: a file cannot be read, or a record is bad and `on_bad` is "stop"; every one is named.
        """
        paths, broken = expand_all(self.files)
        self.report.files.clear()
        found: list[Record] = []
        for path in paths:
            try:
                found += self._read(path)
            except DataError as error:
                broken.append(error)
        self._check(broken)
        return found

    @cached_property
    def questions(self) -> list[Question]:
        """The answers that are asked for; a record without one is bad.

        Raises:
            DataError: as `records`.
        """
        return self._gather(self._questions)

    @cached_property
    def multiple_choice(self) -> list[Question]:
        """The last answers, each to be chosen among others; a record without a choice is bad.

        Raises:
            DataError: as `records`.
        """
        return self._gather(lambda record: [self._choice(record)])

    def fingerprint(self, questions: Sequence[Question]) -> str:
        """Return the SHA-256 of questions: where they stand, and all of their texts."""
        return hashlib.sha256(repr(questions).encode("utf-8", "backslashreplace")).hexdigest()

    def refuse(self, bad: Sequence[RecordError]) -> None:
        """Put bad records into the report.

        Raises:
            DataError: `on_bad` is "stop", and there are some.
        """
        for error in bad:
            file = next(file for file in self.report.files if file.path == getattr(error.origin, "file", None))
            if str(error) not in map(str, file.bad):
                file.bad.append(error)
                file.kept -= 1
        self._check([])

    def _check(self, broken: list[DataError]) -> None:
        if broken or (self.report.bad and (self.on_bad == "stop" or not any(f.kept for f in self.report.files))):
            raise refusal(broken, self.report)

    def _read(self, path: str) -> list[Record]:
        records = iter(sources.scan(path))
        head = list(islice(records, formats.FIRST))
        name = self.format or formats.detect([one for one, _ in head], path).__name__.rpartition(".")[2]
        parse = lookup.find(formats.__name__, name, "format").parse
        file = FileReport(path, name, notes=list(sources.note(path)))
        self.report.files.append(file)
        found = []
        for one, origin in (*head, *records):
            file.records += 1
            try:
                if isinstance(one, RecordError):
                    raise one
                conversation = self.pictures.find(parse(one, origin))
                found.append(Record(conversation, self.choices or choices_of(one, origin)))
            except RecordError as error:
                file.bad.append(error)
        file.kept = file.records - len(file.bad)
        return found

    def _gather(self, questions_of: Callable[[Record], list[Question]]) -> list[Question]:
        found: list[Question] = []
        bad: list[RecordError] = []
        for record in self.records:
            try:
                found += questions_of(record)
            except RecordError as error:
                bad.append(error)
        self.refuse(bad)
        return found

    def _questions(self, record: Record) -> list[Question]:
        conversation, origin = record.conversation, record.conversation.origin
        assert origin is not None  # every parsed record has one
        turns = [n for n, message in enumerate(conversation.messages) if message.role == "assistant" and message.train]
        if not turns or conversation.liked is False:
            what, mend = "it holds no answer to compare with.", "Give it an answer, or leave it out."
            if conversation.liked is False:
                what = "its answer is marked as a bad one, so it is not what is expected."
            elif conversation.text is not None:
                what, mend = "it is a plain text: nothing is asked.", "Its loss can be measured: --task perplexity."
            raise RecordError(origin, "text" if conversation.text is not None else "messages", what, mend)
        found = []
        for turn in turns if self.every_answer else turns[-1:]:
            before = conversation.messages[:turn]
            images = tuple(i for i in conversation.images if any(i.mark in message.content for message in before))
            asked = replace(conversation, messages=before, images=images, rejected=None, liked=None)
            found.append(Question(origin, turn, asked, conversation.messages[turn], record.choices))
        return found

    def _choice(self, record: Record) -> Question:
        question = self._questions(record)[-1]
        if not question.choices:
            mend = (
                f'Write "{CHOICES}": ["...", "..."] into the record, or give those of all records with --choices A,B.'
            )
            raise RecordError(question.origin, CHOICES, "it is missing: there is nothing to choose from.", mend)
        if question.expected.content not in question.choices:
            reason = f"the answer '{question.expected.content}' is none of them ({', '.join(question.choices)})."
            raise RecordError(
                question.origin, CHOICES, reason, "The answer must be one of the choices, letter by letter."
            )
        return question


def choices_of(record: dict[str, Any], origin: Origin) -> tuple[str, ...]:
    """Return a record's field `choices`; nothing where it has none.

    Raises:
        RecordError: it is no list of two or more different texts.
    """
    value = record.get(CHOICES)
    if value is None:
        return ()
    mend = 'Write a list of texts: ["yes", "no"].'
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise RecordError(origin, CHOICES, "it is not a list of texts.", mend)
    if len(set(value)) != len(value) or len(value) < 2:
        raise RecordError(origin, CHOICES, "it must hold two or more texts, no two alike.", mend)
    return tuple(value)


def vars_of(origin: Origin) -> dict[str, Any]:
    """Return file, record and line as JSON types."""
    return {"file": os.fspath(origin.file), "record": origin.record, "line": origin.line}
