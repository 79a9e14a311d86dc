"""tunesmith data check FILES: every bad record named, findings with advice, figures."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from ...errors import ConfigError, ModelError
from ...locate import locate
from ...options import expand
from .. import sources
from ..chat import RenderOptions
from ..chats import load_chat
from ..flow import Work, survey
from ..picture_files import Addresses, PictureFiles
from .account import Account
from .as_json import as_json
from .diagnosis import Diagnosis, Model
from .measures import Probe
from .report import print_report

MAX_LENGTH = 1024
"""What training cuts rows to if nothing else is said."""


@dataclass(frozen=True)
class Options:
    """What `tunesmith data check` can be told."""

    files: Annotated[list[str], typer.Argument(metavar="FILES", help="Files, folders or patterns.")]
    model: Annotated[
        str | None, typer.Option(metavar="NAME_OR_DIR", help="Measure in tokens of this model (weights not needed).")
    ] = None
    validation: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Validation data, compared with FILES; may be repeated.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, with every bad record.")] = False
    max_length: Annotated[
        int | None,
        typer.Option(metavar="N", help=f"What training cuts rows to; {MAX_LENGTH:,} is assumed, but nothing refused."),
    ] = None

    format: Annotated[str | None, typer.Option(metavar="NAME", help="The files' format, if not found out.")] = None
    chat_template: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --model: a shipped template or a .jinja file.")
    ] = None
    picture_root: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="Pictures may lie here too; may be repeated.")
    ] = None
    fetch_pictures: Annotated[bool, typer.Option("--fetch-pictures", help="Fetch pictures of the web.")] = False
    processes: Annotated[int | None, typer.Option(metavar="N", help="Default: one for each core.")] = None

    @property
    def limit(self) -> int:
        """What rows are judged by."""
        return MAX_LENGTH if self.max_length is None else self.max_length

    @property
    def pictures(self) -> PictureFiles:
        """Which pictures may be read."""
        addresses: Addresses = "fetch" if self.fetch_pictures else "refuse"
        return PictureFiles.of(self.picture_root or (), addresses, "--picture-root")


def _check(options: Options) -> None:
    """Examine data files: every bad record named, figures, advice.

    Exit status: 0 if all records can be used, 1 if not, 2 for a mistake in the command. Duplicates, broken text,
    cut answers and the like are findings: they are told with advice and do not change the exit status.
    """
    for name, value in (("--max-length", options.max_length), ("--processes", options.processes)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}, but must be 1 or more.")
    training = _expanded(options.files)
    validation = _expanded(options.validation or ())
    if both := set(training) & set(validation):
        raise ConfigError(f"'{min(both)}' is given for training and for validation. Leave it out of one of the two.")
    model, work = _prepared(options)
    account = Account(options.limit if model is not None else None, strict=options.max_length is not None)
    _survey(account, [(training, False), (validation, True)], work, options.processes)
    diagnosis = Diagnosis(account, model)
    if options.json:
        for piece in as_json(diagnosis):
            sys.stdout.write(piece)
    else:
        print_report(diagnosis, Console(highlight=False))
    if not diagnosis.usable:
        raise typer.Exit(1)


check = expand(_check, Options)


def _expanded(files: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(path for file in files for path in sources.expand(file)))


def _prepared(options: Options) -> tuple[Model | None, Work]:
    """Return the model, if one is named, and what is to be done with each block."""
    if options.model is None:
        if options.chat_template is not None:
            raise ConfigError("--chat-template needs --model: without a tokenizer nothing is written in a template.")
        return None, Work(format=options.format, probe=Probe(), pictures=options.pictures)
    folder = locate(options.model)
    tokenizer, chat = load_chat(folder, options.chat_template)
    model = Model(options.model, options.limit, _positions(folder))
    # Rows are rendered whole: what another max_length would cut can only be told from what is there.
    probe = Probe.of(chat, tokenizer, options.limit)
    return model, Work(chat, tokenizer, RenderOptions(), options.format, probe, keep=False, pictures=options.pictures)


def _positions(folder: Path) -> int | None:
    """Return how many tokens the model was made for, where config.json says so."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    try:
        config: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not valid JSON: {error}. Fetch the file again.") from None
    value = config.get("max_position_embeddings") if isinstance(config, dict) else None
    return value if isinstance(value, int) and value > 0 else None


def _survey(account: Account, parts: Sequence[tuple[list[str], bool]], work: Work, processes: int | None) -> None:
    """Read all files; on a terminal, with a bar of the bytes."""
    console = Console(stderr=True)
    columns = (TextColumn("Reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    total = sum(os.path.getsize(path) for files, _ in parts for path in files)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("read", total=total)
        for files, validation in parts:
            position, current = 0, ""
            for done in survey(files, work, processes):
                position = position if done.path == current else 0
                current = done.path
                account.add(done, validation)
                progress.advance(task, done.position - position)
                position = done.position
