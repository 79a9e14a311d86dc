"""The exception tree: exit codes, and the picture in the docstring."""

from __future__ import annotations

import inspect
import re

import pytest

from tunesmith import errors
from tunesmith.data.types import Origin

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.TunesmithError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_exit_codes(kind: type[errors.TunesmithError]) -> None:
    assert kind.exit_code == (2 if issubclass(kind, errors.UserError) else 1)


def test_the_picture_shows_the_tree() -> None:
    """Each class stands in the docstring, one level deeper than the class that it derives from."""
    depth = {}
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"^([ │├└─]*)([A-Z]\w+Error)\b", line):
            depth[match[2]] = (len(match[1]) - 4) // 4
    assert set(depth) == {kind.__name__ for kind in KINDS}
    for kind in KINDS:
        parent = kind.__mro__[1]
        if parent in KINDS:
            assert depth[kind.__name__] == depth[parent.__name__] + 1


def test_a_record_is_named() -> None:
    error = errors.RecordError(Origin("a.json", 3, 12), "output", "it is empty.", "Fill it in.")
    assert str(error) == "a.json, record 3, line 12, field 'output': it is empty. Fill it in."
    assert (error.field, error.mend) == ("output", "Fill it in.") and isinstance(error, errors.DataError)
