"""Who is measured: tunesmith, the plain recipe twice, the peers; and the ladder of measures from plain to tunesmith."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ConfigError, MachineError
from ..lookup import nearest
from .models import Form

OWN, PLAIN = "tunesmith", "plain"


@dataclass(frozen=True)
class Side:
    """One that is measured: a file under sides/, the form of its model, the order of its rows, and what it is told.

    `package`: what must be installed for it, beyond tunesmith's own requirements; its file must run without these.
    """

    name: str
    file: str
    form: Form = "native"
    order: str = "tunesmith"
    settings: Mapping[str, Any] = field(default_factory=dict)
    package: str | None = None
    python: str = sys.executable


SIDES = (
    Side(PLAIN, "plain"),
    Side("plain, less padding", "plain", order="shuffled", settings={"padding": "longest"}),
    Side("trl", "trl", "granite", "length", package="trl"),
    Side("llamafactory", "llamafactory", "granite", "length", package="llamafactory"),
    Side(OWN, "tunesmith"),
)
_PEFTS_OWN = {"tuning.fused": False}
_APART = {**_PEFTS_OWN, "data.share_prefixes": False}
LADDER = (
    Side(PLAIN, "plain"),
    Side("+ less padding", "plain", order="shuffled", settings={"padding": "longest"}),
    Side("+ label-only loss", "tunesmith", settings={**_APART, "data.group_by_length": False}),
    Side("+ similar lengths", "tunesmith", settings=_APART),
    Side("+ shared prefixes", "tunesmith", settings=_PEFTS_OWN),
    Side("+ fused LoRA", "tunesmith"),
)
"""Each adds one measure to the one before; the last has all defaults."""
ALONE = (
    Side("with checkpointing", "tunesmith", settings={"training.gradient_checkpointing": True}),
    Side("with bf16", "tunesmith", settings={"training.precision": "bf16"}),
)
"""Each changes one setting of the defaults."""


def with_pythons(sides: Sequence[Side], pythons: Sequence[str]) -> list[Side]:
    """Return the sides with the Pythons that `--peer NAME=PYTHON` gives them.

    Raises:
        ConfigError: no such peer, or no such Python.
    """
    peers, given = [side.name for side in sides if side.package is not None], {}
    for text in pythons:
        name, _, python = text.partition("=")
        if name not in peers:
            close = nearest(name, peers) or "."
            raise ConfigError(f"--peer {text}: there is no peer '{name}'{close} Peers: {', '.join(peers)}.")
        if shutil.which(python) is None:
            raise ConfigError(f"--peer {text}: '{python}' is no program. Give NAME=PYTHON: {name}=/path/to/bin/python.")
        given[name] = python
    return [replace(side, python=given.get(side.name, side.python)) for side in sides]


def chosen(sides: Sequence[Side], names: Sequence[str] | None) -> list[Side]:
    """Return the sides that are asked for, in their usual order; tunesmith and plain are always among them.

    Raises:
        ConfigError: no such side.
    """
    known = [side.name for side in sides]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"--side '{name}'{nearest(name, known) or '.'} Known: {', '.join(known)}.")
    wanted = {*names, OWN, PLAIN} if names else {*known}
    return [side for side in sides if side.name in wanted]


def installed(sides: Sequence[Side], asked: Sequence[str]) -> tuple[list[Side], list[str]]:
    """Return the sides whose package is there, and what is to be said of the others.

    Raises:
        MachineError: one is missing that was asked for by name.
    """
    here, notes = [], []
    for side in sides:
        if side.package is None or _has(side.python, side.package):
            here.append(side)
            continue
        text = (
            f"{side.name} is not installed in {side.python}: pip install {side.package}, or name a Python that has it "
            f"with --peer {side.name}=/path/to/bin/python."
        )
        if side.name in asked:
            raise MachineError(text)
        notes.append(f"Left out: {text}")
    return here, notes


def _has(python: str, package: str) -> bool:
    if python == sys.executable:
        return importlib.util.find_spec(package) is not None
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
