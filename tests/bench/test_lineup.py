"""Who is measured: by name, in which Python, and what is said of who is missing."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tunesmith.bench import sides as files
from tunesmith.bench.lineup import ALONE, LADDER, OWN, PLAIN, SIDES, Side, chosen, installed, with_pythons
from tunesmith.errors import ConfigError, MachineError
from tunesmith.lookup import names

NOWHERE = Side("nobody", "trl", package="no_such_package_anywhere")


def test_every_side_has_its_file() -> None:
    assert {side.file for side in SIDES} == set(names(files.__name__))
    assert LADDER[0].name == PLAIN and {side.file for side in (*LADDER, *ALONE)} == {"plain", "tunesmith"}


def test_a_choice_keeps_what_it_is_compared_with() -> None:
    assert [side.name for side in chosen(SIDES, ["trl"])] == [PLAIN, "trl", OWN]
    assert chosen(SIDES, None) == list(SIDES)
    with pytest.raises(ConfigError, match="did you mean 'trl'"):
        chosen(SIDES, ["tlr"])


def test_another_python() -> None:
    given = with_pythons(SIDES, [f"trl={sys.executable}"])
    assert next(side.python for side in given if side.name == "trl") == sys.executable
    with pytest.raises(ConfigError, match="there is no peer 'plain'"):
        with_pythons(SIDES, ["plain=python"])
    with pytest.raises(ConfigError, match="is no program"):
        with_pythons(SIDES, ["trl=/no/such/python"])


@pytest.mark.parametrize("python", [sys.executable, f"{Path(sys.executable).parent}/./{Path(sys.executable).name}"])
def test_who_is_missing_is_named(python: str) -> None:
    nowhere = replace(NOWHERE, python=python)  # the second is asked as another Python would be
    here, notes = installed([SIDES[0], nowhere], [])
    assert here == [SIDES[0]] and "pip install no_such_package_anywhere" in notes[0]
    with pytest.raises(MachineError, match="--peer nobody="):
        installed([nowhere], ["nobody"])
