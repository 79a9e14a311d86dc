"""Cells of tables as values of records: JSON text in a cell becomes what it says where the column's name asks for it."""

from __future__ import annotations

import json
from typing import Any

from ...errors import RecordError
from ..types import Origin
from . import values
from .json_faults import explain

NESTED = frozenset({"messages", "conversations", "images", "history"})
"""Columns whose cells are lists: text that begins with a bracket must be JSON."""
MAYBE_NESTED = frozenset({"chosen", "rejected"})
"""Columns that hold a message, a list of messages or plain text, which may begin with a bracket too."""


def row_record(row: dict[str, Any], origin: Origin) -> dict[str, Any] | RecordError:
    """Return a row of a table as a record, or the RecordError that names the column at fault.

    Arrow gives every object in a list the fields of all the others, filled with null: those are dropped. A null that
    was written as such inside of a list is dropped with them; one in a column of the table stays None.
    """
    record: dict[str, Any] = {}
    for column, cell in row.items():
        if isinstance(cell, str):
            try:
                record[column] = _unfolded(column, cell)
            except json.JSONDecodeError as error:
                reason = f"the cell begins as JSON does but is broken at character {error.pos + 1}:"
                return RecordError(origin, column, reason, explain(error))
        else:
            record[column] = _without_fill(cell)
    return record


def _unfolded(column: str, cell: str) -> Any:
    """Return what the JSON text of a cell says, or the cell itself."""
    begin = cell.lstrip()[:1]
    if begin not in ("[", "{") or not (column in NESTED or column in MAYBE_NESTED):
        return cell
    try:
        value = values.whole(cell)
    except json.JSONDecodeError:
        if column in NESTED:
            raise
        return cell
    if column in NESTED or isinstance(value, dict) or (value and all(isinstance(part, dict) for part in value)):
        return value
    return cell


def _without_fill(cell: Any) -> Any:
    """Drop the fields of null from objects, at any depth of lists."""
    if isinstance(cell, list):
        return [_without_fill(part) for part in cell]
    if isinstance(cell, dict):
        return {name: _without_fill(part) for name, part in cell.items() if part is not None}
    return cell
