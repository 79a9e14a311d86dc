"""Prepared: the rows of a run as a map-style dataset, which can be split and weighed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import ConfigError, DataError
from .order import shuffled
from .report import DataReport
from .rows import Rows
from .types import Example


@dataclass(frozen=True)
class Prepared:
    """The rows of a run as a map-style dataset, with the account of where they came from.

    `chosen` are the rows of `rows` that belong to it, in its order. `loss_weights`: what the loss of each of the
    chosen rows counts, 1 for all where it is None. `references`: (rows, 2), the log-probabilities that the model gave to
    both answers of each of them before training. A part made by `split` keeps the report of the whole.
    """

    rows: Rows
    chosen: NDArray[np.int64]
    report: DataReport
    fingerprint: str
    loss_weights: NDArray[np.float32] | None = None
    references: NDArray[np.float32] | None = None

    @classmethod
    def whole(cls, rows: Rows, report: DataReport, fingerprint: str) -> Prepared:
        """Return all rows, in their order."""
        return cls(rows, np.arange(len(rows), dtype=np.int64), report, fingerprint)

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> Example:
        example = self.rows.example(int(self.chosen[index]))
        if self.loss_weights is not None:
            example.weight = float(self.loss_weights[index])
        if self.references is not None:
            example.reference = (float(self.references[index, 0]), float(self.references[index, 1]))
        return example

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each row."""
        lengths: NDArray[np.int64] = self.rows.lengths[self.chosen]
        return lengths


def split(prepared: Prepared, share: float, seed: int) -> tuple[Prepared, Prepared]:
    """Return (training, validation): about `share` of the rows, at least one, drawn by `seed`, for validation.

    Rows with the same prompt stay together, so that no question of the validation is learned. Both parts keep the
    order of the files. Which rows are drawn depends on them and the seed alone.

    Raises:
        ConfigError: the share is not between 0 and 1.
        DataError: there are fewer than two different prompts.
    """
    if not 0 < share < 1:
        raise ConfigError(f"data.validation_share: {share} is not between 0 and 1.")
    _, prompt, sizes = np.unique(prepared.rows.prompts[prepared.chosen], return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        what = "one row" if len(prepared) < 2 else f"{len(prepared)} rows with one and the same prompt"
        raise DataError(f"data.validation_share: {what} cannot be split. Give more records, or a validation file.")
    wanted = min(max(round(len(prepared) * share), 1), len(prepared) - 1)
    order = shuffled(len(sizes), seed)
    filled = np.cumsum(sizes[order])
    # As many whole prompts as come nearest to the wanted number of rows, but neither none nor all.
    count = int(np.argmin(np.abs(filled[:-1] - wanted))) + 1
    apart = np.zeros(len(sizes), bool)
    apart[order[:count]] = True
    made = []
    for name, part in {"training": ~apart[prompt], "validation": apart[prompt]}.items():
        text = f"{prepared.fingerprint} {name} {count} {seed}"
        weights = None if prepared.loss_weights is None else prepared.loss_weights[part]
        digest = hashlib.sha256(text.encode()).hexdigest()
        made.append(replace(prepared, chosen=prepared.chosen[part], fingerprint=digest, loss_weights=weights))
    return made[0], made[1]


@dataclass(frozen=True)
class Weight:
    """What a source counts: how often its rows come in an epoch, and what their loss counts."""

    often: float = 1.0
    loss: float = 1.0


def weigh(prepared: Prepared, weights: Sequence[Weight], seed: int) -> Prepared:
    """Return the rows with each file's weight (one for each of `prepared.rows.files`).

    `often` 2 takes every row twice an epoch, 0.25 every fourth, drawn by the seed. A row's loss is multiplied by
    `loss`.
    """
    if all(weight == Weight() for weight in weights):
        return prepared
    files, parts = prepared.rows.file_numbers()[prepared.chosen], []
    for number, weight in enumerate(weights):
        own = np.flatnonzero(files == number)
        whole, extra = divmod(round(len(own) * weight.often), max(len(own), 1))
        parts += [own] * whole + [np.sort(own[shuffled(len(own), seed, number)[:extra]])]
    taken = np.sort(np.concatenate([np.zeros(0, np.int64), *parts]))
    if not len(taken):
        raise DataError("The weights of the data sources leave no row to learn from. Raise them.")
    losses = np.array([weight.loss for weight in weights], np.float32)[files[taken]]
    text = f"{prepared.fingerprint} {[(weight.often, weight.loss) for weight in weights]} {seed}"
    return replace(
        prepared,
        chosen=prepared.chosen[taken],
        fingerprint=hashlib.sha256(text.encode()).hexdigest(),
        loss_weights=None if (losses == 1).all() else losses,
    )
