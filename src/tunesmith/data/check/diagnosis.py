"""What the account comes to: findings by importance, languages, lengths and the max_length that suits them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .account import Account, FileSum, Finding
from .advice import ADVICE
from .lengths import Lengths, Proposal, cut_rows, propose
from .texts import LANGUAGES, share

_OTHER_LANGUAGE = 0.1
"""Answers in another language than the question are the task itself where they are more than this share."""


@dataclass(frozen=True)
class Model:
    """What texts are measured with: `positions`: how many tokens the model was made for, if its folder says so."""

    name: str
    max_length: int
    positions: int | None = None


@dataclass(frozen=True)
class Diagnosis:
    """All that is reported; read it when the account is complete."""

    account: Account
    model: Model | None = None

    @property
    def files(self) -> list[FileSum]:
        """What became of each file."""
        return self.account.files

    @property
    def records(self) -> int:
        """How many records were read."""
        return sum(file.records for file in self.files)

    @property
    def kept(self) -> int:
        """How many records can be used."""
        return sum(file.kept for file in self.files)

    @property
    def usable(self) -> bool:
        """Whether all files could be read and all their records can be used."""
        return self.kept == self.records and all(file.error is None for file in self.files)

    @cached_property
    def lengths(self) -> Lengths:
        """The lengths of what is trained on."""
        return self.account.lengths()

    @cached_property
    def proposal(self) -> Proposal | None:
        """The max_length that suits the data."""
        if self.model is None:
            return None
        return propose(self.lengths, self.account.tokens.places, self.model.positions)

    @cached_property
    def languages(self) -> list[tuple[str, int]]:
        """How many records are answered in which language, most of them first."""
        counts = self.account.pairs.sum(axis=0).tolist()
        named = [(name, count) for name, count in zip(LANGUAGES, counts, strict=True) if count]
        return sorted(named, key=lambda one: -one[1])

    @cached_property
    def answers(self) -> NDArray[np.int64]:
        """In how many records each different last answer stands, the most frequent first."""
        return -np.sort(-np.unique(self.account.column("said"), return_counts=True)[1])

    @property
    def variety(self) -> str:
        """How many different answers there are, in words."""
        count, total = len(self.answers), int(self.answers.sum())
        if count == total:
            return "all different"
        most = share(int(self.answers[0]), total)
        return f"{count:,} different, the most frequent in {most} of the records"

    @cached_property
    def findings(self) -> list[Finding]:
        """What is found, most important first."""
        found = {finding.kind: finding for finding in self._all() if finding.records}
        return [found[kind] for kind in ADVICE if kind in found]

    def _all(self) -> Iterator[Finding]:
        for finding in self.account.found.values():
            if finding.kind != "other_language" or finding.records <= _OTHER_LANGUAGE * self.kept:
                yield finding
        yield from self.account.related()
        yield from self.account.outliers()
        positions = self.model.positions if self.model is not None else None
        if self.model is not None and positions is not None and positions < self.model.max_length:
            rows = cut_rows(self.lengths, positions)
            yield Finding("beyond_model", rows, rows)
