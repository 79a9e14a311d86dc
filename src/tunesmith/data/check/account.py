"""The account of all blocks: files and their bad records, findings, and what is kept of each record to compare it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import RecordError
from ..flow import Done
from ..types import Origin
from .lengths import Lengths
from .measures import Measures
from .relations import Records, Relation, relations
from .texts import LANGUAGES, SHOWN, counted


class Bad(NamedTuple):
    """A record that cannot be used."""

    record: int
    line: int | None
    field: str
    reason: str
    mend: str


class BadRecords:
    """Bad records in little memory: places as numbers, and each text once."""

    def __init__(self) -> None:
        self._places = array("q")
        self._said = array("i")
        self._texts: dict[tuple[str, str, str], int] = {}

    def add(self, error: RecordError) -> None:
        """Take in what a RecordError says."""
        origin = error.origin if isinstance(error.origin, Origin) else Origin("", -1)
        self._places.extend((origin.record, origin.line or 0))
        self._said.append(self._texts.setdefault((error.field, error.reason, error.mend), len(self._texts)))

    def __len__(self) -> int:
        return len(self._said)

    def __iter__(self) -> Iterator[Bad]:
        texts = list(self._texts)
        for number, said in enumerate(self._said):
            yield Bad(self._places[2 * number], self._places[2 * number + 1] or None, *texts[said])


@dataclass
class FileSum:
    """What became of a file; `error`: why it could not be read, or not to its end."""

    path: str
    validation: bool = False
    format: str | None = None
    records: int = 0
    unlearned: int = 0
    bad: BadRecords = field(default_factory=BadRecords)
    error: str | None = None

    @property
    def kept(self) -> int:
        """How many records can be used."""
        return self.records - len(self.bad)


class Place(NamedTuple):
    """Where something is found, and what."""

    path: str
    record: int
    line: int | None
    detail: str


@dataclass
class Finding:
    """In how many records a kind of thing is found, how often, and the first places."""

    kind: str
    records: int = 0
    times: int = 0
    places: list[Place] = field(default_factory=list)


@dataclass
class TokenSums:
    """Sums over the training files; `places` as in Tokens, plain texts apart."""

    tokens: int = 0
    labels: int = 0
    byte_tokens: int = 0
    places: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def all_labels(self) -> int:
        """The label tokens of an epoch when nothing is cut."""
        return self.labels + int(self.places.sum())


class Account:
    """Adds up blocks. `max_length` None: there is no model, and lengths are in characters.

    `strict`: a record of which `max_length` leaves nothing is a bad one; otherwise, where nobody has asked for that
    length, it is a finding.
    """

    def __init__(self, max_length: int | None = None, strict: bool = True) -> None:
        self.max_length, self.strict = max_length, strict
        self.files: list[FileSum] = []
        self.tokens = TokenSums()
        self.found: dict[str, Finding] = {}
        self.pairs = np.zeros((len(LANGUAGES), len(LANGUAGES)), np.int64)
        self._kept: dict[str, list[NDArray[Any]]] = {}
        self._ends: list[int] = []  # up to which record the records of each file go
        self._lengths: list[NDArray[np.int32]] = []

    def add(self, done: Done, validation: bool = False) -> None:
        """Take in a block."""
        if not self.files or self.files[-1].path != done.path:
            self.files.append(FileSum(done.path, validation))
            self._ends.append(self._ends[-1] if self._ends else 0)
        file = self.files[-1]
        file.format = done.format if file.format is None and done.records else file.format
        file.records += done.records
        file.unlearned += done.unlearned
        if done.error is not None:
            file.error = str(done.error)
        measures = done.probed if isinstance(done.probed, Measures) else None
        gone = list(self._cut_away(done.path, measures))
        for error in sorted([*done.bad, *gone] if self.strict else done.bad, key=_record):
            file.bad.add(error)
        if gone and not self.strict:
            finding = self.found.setdefault("gone_answers", Finding("gone_answers"))
            finding.records, finding.times = finding.records + len(gone), finding.times + len(gone)
            for error in gone[: SHOWN - len(finding.places)]:
                assert isinstance(error.origin, Origin)  # made by `_cut_away`
                finding.places.append(Place(done.path, error.origin.record, error.origin.line, error.mend))
        if measures is not None:
            self._measured(file, measures)

    def _cut_away(self, path: str, measures: Measures | None) -> Iterator[RecordError]:
        """Yield the records of which `max_length` leaves nothing, or not all pictures, as rendering would name them."""
        for record, line, count in measures.tokens.out if measures is not None and measures.tokens is not None else ():
            reason = f"nothing is left to learn from: the row has {count} tokens and is cut to max_length"
            mend = f"Raise max_length (to {count} for the whole row)."
            yield RecordError(Origin(path, record, line), "messages", f"{reason} {self.max_length}.", mend)
        for record, line, count in measures.tokens.torn if measures is not None and measures.tokens is not None else ():
            reason = f"a picture does not fit: the row has {count} tokens and is cut to max_length {self.max_length}."
            mend = f"Raise max_length (to {count} for the whole row); a row is never cut inside a picture."
            yield RecordError(Origin(path, record, line), "image", reason, mend)

    def _measured(self, file: FileSum, made: Measures) -> None:
        for kind, hits in made.hits.items():
            finding = self.found.setdefault(kind, Finding(kind))
            finding.records += hits.records
            finding.times += hits.times
            for number, detail in hits.first[: SHOWN - len(finding.places)]:
                line = int(made.line[number]) or None
                finding.places.append(Place(file.path, int(made.record[number]), line, detail))
        self.pairs += made.pairs
        for name in ("record", "line", "whole", "prompt", "signature", "characters", "answer", "said", "preference"):
            self._kept.setdefault(name, []).append(getattr(made, name))
        self._kept.setdefault("validation", []).append(np.full(len(made.record), file.validation))
        self._ends[-1] += len(made.record)
        tokens = made.tokens
        if tokens is not None and not file.validation:
            self._lengths.append(tokens.lengths)
            sums, places = self.tokens, tokens.places
            sums.tokens += int(tokens.lengths.sum(dtype=np.int64)) + tokens.plain_tokens
            sums.labels += tokens.plain_labels
            sums.byte_tokens += tokens.byte_tokens
            if len(places) < len(sums.places):
                places, sums.places = sums.places, places
            places[: len(sums.places)] += sums.places
            sums.places = places

    def column(self, name: str) -> NDArray[Any]:
        """Return what was measured of each usable record, in the order of the files."""
        parts = self._kept.get(name, [])
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0] if parts else np.zeros((0, 1), np.uint8) if name == "signature" else np.zeros(0, np.int64)

    def place(self, number: int, detail: str) -> Place:
        """Return the place of usable record `number`, counted over all files."""
        file = int(np.searchsorted(self._ends, number, side="right"))
        line = int(self.column("line")[number]) or None
        return Place(self.files[file].path, int(self.column("record")[number]), line, detail)

    def lengths(self) -> Lengths:
        """Return the lengths of the rows of the training files, or of their records if there is no model."""
        if self.max_length is not None:
            return Lengths("tokens", np.sort(np.concatenate([np.zeros(0, np.int32), *self._lengths])))
        training = ~self.column("validation").astype(bool)
        return Lengths("characters", np.sort(self.column("characters")[training]))

    def related(self) -> Iterator[Finding]:
        """Yield what is found by comparing the records with each other."""
        columns = {name: self.column(name) for name in ("whole", "prompt", "signature")}
        flags = {name: self.column(name).astype(bool) for name in ("preference", "validation")}
        if not len(columns["whole"]):
            return
        for relation in relations(Records(**columns, **flags)):
            if len(relation.records):
                yield self._relation(relation)

    def _relation(self, relation: Relation) -> Finding:
        places = []
        for number, other in zip(relation.records[:SHOWN].tolist(), relation.others[:SHOWN].tolist(), strict=True):
            there, here = self.place(other, ""), self.place(number, "")
            line = f" (line {there.line})" if there.line is not None else ""
            file = f"{there.path}, " if there.path != here.path else ""
            places.append(here._replace(detail=f"see {file}record {there.record}{line}"))
        return Finding(relation.kind, len(relation.records), len(relation.records), places)

    def outliers(self) -> Iterator[Finding]:
        """Yield records and answers that are unlike the others in length."""
        characters, answer = self.column("characters"), self.column("answer")
        if len(characters) < _MANY:
            return
        middle, high = np.percentile(characters, (50, 99))
        yield self._numbers("very_long", np.flatnonzero(characters > max(10 * middle, 2 * high)), characters)
        given = answer[answer > 0]
        if len(given) and np.median(given) >= _USUAL:
            short = np.flatnonzero((answer > 0) & (answer < _SHORT))
            if len(short) <= _RARE * len(answer):
                yield self._numbers("short_answers", short, answer)

    def _numbers(self, kind: str, numbers: NDArray[np.int64], sizes: NDArray[Any]) -> Finding:
        places = [self.place(n, counted(int(sizes[n]), "character")) for n in numbers[:SHOWN].tolist()]
        return Finding(kind, len(numbers), len(numbers), places)


_MANY = 20
"""Fewer records do not show what is usual."""
_USUAL, _SHORT, _RARE = 40, 5, 0.05
"""Answers below _SHORT characters stand out where half of all have _USUAL, if they are no more than this share."""


def _record(error: RecordError) -> int:
    return error.origin.record if isinstance(error.origin, Origin) else -1
