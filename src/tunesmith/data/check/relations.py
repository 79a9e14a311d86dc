"""Records that stand in a relation to another one: copies, near copies, other answers, validation that is learned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .likeness import find_alike

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class Records:
    """What tells records apart, an entry a record: as in Measures; `validation`: whether it is a validation record."""

    whole: NDArray[np.uint64]
    prompt: NDArray[np.uint64]
    signature: NDArray[np.uint8]
    preference: NDArray[np.bool_]
    validation: NDArray[np.bool_]


@dataclass(frozen=True)
class Relation:
    """The records of one kind, ascending, and for each the other record that makes it so."""

    kind: str
    records: Numbers
    others: Numbers

    @classmethod
    def of(cls, kind: str, records: Numbers, others: Numbers) -> Relation:
        """Return a relation with one other record for each record."""
        found, first = np.unique(records, return_index=True)
        return cls(kind, found, others[first])


def relations(records: Records) -> list[Relation]:
    """Return all relations; training records are related to training records, validation records to both."""
    everything = np.arange(len(records.whole))
    training, validation = everything[~records.validation], everything[records.validation]
    copies = [_copies(records.whole, part) for part in (training, validation)]
    copy = np.zeros(len(everything), bool)
    copy[np.concatenate([later for later, _ in copies])] = True
    asked = (records.prompt != 0) & ~records.preference & ~copy
    answered = [_copies(records.prompt, part[asked[part]]) for part in (training, validation)]
    shared, shared_others = _found_in(records.whole, validation, training)
    known = copy.copy()
    known[shared] = True
    rest = validation[~known[validation] & (records.prompt[validation] != 0)]
    prompts, prompt_others = _found_in(records.prompt, rest, training)
    known[prompts] = True
    within, across = _near(records, everything[~copy])
    near, alike = np.flatnonzero(within >= 0), np.flatnonzero((across >= 0) & ~known)
    return [
        Relation.of("validation_copies", shared, shared_others),
        Relation.of("validation_questions", prompts, prompt_others),
        Relation("validation_alike", alike, across[alike]),
        Relation.of("copies", *map(np.concatenate, zip(*copies, strict=True))),
        Relation("near_copies", near, within[near]),
        Relation.of("other_answers", *map(np.concatenate, zip(*answered, strict=True))),
    ]


def _near(records: Records, single: Numbers) -> tuple[Numbers, Numbers]:
    """Return for each record an earlier one that is almost the same, or -1: of the same use, and of training.

    The second is only for validation records. Training records stand first where both are compared.
    """
    within, across = np.full(len(records.whole), -1), np.full(len(records.whole), -1)
    single = single[np.argsort(records.validation[single], kind="stable")]
    for later, earlier in find_alike(records.signature[single]):
        later, earlier = single[later], single[earlier]
        same = records.validation[later] == records.validation[earlier]
        for found, chosen in ((within, same), (across, ~same)):
            new = chosen & (found[later] < 0)
            found[later[new]] = earlier[new]
    return within, across


def _copies(values: NDArray[np.uint64], part: Numbers) -> tuple[Numbers, Numbers]:
    """Return those of the records `part` whose value an earlier one has, and that earlier one."""
    _, first, back = np.unique(values[part], return_index=True, return_inverse=True)
    earliest = first[back]
    later = np.flatnonzero(earliest != np.arange(len(part)))
    return part[later], part[earliest[later]]


def _found_in(values: NDArray[np.uint64], some: Numbers, others: Numbers) -> tuple[Numbers, Numbers]:
    """Return those of the records `some` whose value one of `others` has, and the first such one."""
    known, first = np.unique(values[others], return_index=True)
    if not len(known):
        return some[:0], others[:0]
    at = np.minimum(np.searchsorted(known, values[some]), len(known) - 1)
    same = known[at] == values[some]
    return some[same], others[first[at[same]]]
