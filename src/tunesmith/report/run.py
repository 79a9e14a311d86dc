"""START HERE: the report card of a run, top to bottom: read its folder, ask both models, write the page."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from rich.console import Console

from ..runs import PACKAGES
from . import CARD
from .facts import Facts
from .heldout import Wanted
from .measured import Models
from .page import Card, check, write


def report(
    folder: Path,
    target: Path | None = None,
    wanted: Wanted | None = None,
    language: str | None = None,
    command: Sequence[str] | None = None,
    console: Console | None = None,
) -> Path:
    """Write the report card of a run (default: RUN/report.html) and return its path.

    What is measured is kept in the run's folder, so that the next report asks nothing twice. `language`: shown first, en
    or zh; by default that of this terminal. `command`: the words behind `tunesmith report` that make the page again.

    Raises:
        ConfigError: it is no run, or the page would replace another file.
        DataError: files given in place of the held-out rows cannot be used.
        MachineError: the page cannot be written.
    """
    console, wanted = console or Console(stderr=True, quiet=True), wanted or Wanted()
    target = target or folder / CARD
    facts = Facts.read(folder)
    check(target)
    models = Models(facts, wanted, console)
    held_out = models.held_out()
    questions, texts = models.forgotten()
    card = Card(
        facts,
        held_out,
        questions,
        texts,
        wanted.max_new_tokens,
        command or [str(folder)],
        wanted.data,
        versions(),
        language or spoken(),
    )
    with console.status("Drawing ..."):
        write(target, card)
    return target


def spoken() -> str:
    """Return the language of the page that this terminal's settings ask for."""
    named = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "zh" if named.startswith("zh") else "en"


def versions() -> dict[str, str]:
    """Return the versions that make the page."""
    found = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
