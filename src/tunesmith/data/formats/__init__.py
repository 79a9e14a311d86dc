"""The shapes that records come in: one module a format, found by its file name.

A format exports `matches(record) -> bool`, which looks at the names of the fields and no further, and
`parse(record, origin) -> Conversation`, which raises a RecordError that names the field, the reason and the mend.
The first line of its docstring shows the shape; messages to the user quote it.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from ... import lookup
from ...errors import DataError

FIRST = 20
"""From how many records the format is found out."""


def detect(records: list[Any], source: str = "the data") -> ModuleType:
    """Return the format module that fits the first records of a file; `source` names the file in errors.

    A record that no format knows does not decide: it is named when it is parsed.

    Raises:
        DataError: no format fits, several fit, or the records are of different formats.
    """
    formats = {name: importlib.import_module(f"{__name__}.{name}") for name in lookup.names(__name__)}
    seen = [(number, record) for number, record in enumerate(records[:FIRST]) if isinstance(record, dict)]
    fits = {name: [n for n, record in seen if module.matches(record)] for name, module in formats.items()}
    fits = {name: numbers for name, numbers in fits.items() if numbers}
    most = max((len(numbers) for numbers in fits.values()), default=0)
    best = [name for name, numbers in fits.items() if len(numbers) == most]
    if not best:
        shapes = "".join(f"\n  {name}: {_shape(module)}" for name, module in formats.items())
        raise DataError(f"{source}: no format fits its records. {_found(seen)} Formats known:{shapes}")
    if len(best) == 1 and all(set(numbers) <= set(fits[best[0]]) for numbers in fits.values()):
        return formats[best[0]]
    if len(best) > 1 and all(fits[name] == fits[best[0]] for name in best):
        raise DataError(f"{source}: its records fit several formats ({', '.join(best)}). Choose one with data.format.")
    examples = ", ".join(f"record {numbers[0]} is {name}" for name, numbers in fits.items())
    raise DataError(
        f"{source} mixes formats: {examples}. Split it into one file for each format, or choose one with data.format "
        "and treat the others as bad records."
    )


def _shape(module: ModuleType) -> str:
    return (module.__doc__ or "").splitlines()[0]


def _found(seen: list[tuple[int, dict[str, Any]]]) -> str:
    """Say which fields the records have, and where their list may be hidden."""
    if not seen:
        return "None of the first ones is an object with fields."
    number, record = seen[0]
    keys = ", ".join(repr(str(key)) for key in list(record)[:12]) or "none"
    found = f"Record {number} has the fields {keys}."
    lists = {k: v for k, v in record.items() if isinstance(v, list) and v and all(isinstance(i, dict) for i in v)}
    if len(seen) == 1 and lists:
        key, value = next(iter(lists.items()))
        found += f" Its '{key}' is a list of {len(value)} objects: if these are the records, save that list alone."
    return found
