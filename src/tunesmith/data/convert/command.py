"""tunesmith data convert FILES... --to FORMAT --output OUT: the command line of the conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ...errors import ConfigError
from ...options import expand
from ..picture_files import PictureFiles
from .run import Job, run
from .split import read_shares


@dataclass(frozen=True)
class Options:
    """What `tunesmith data convert` can be told."""

    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Files of records, or folders of them.")]
    to: Annotated[str, typer.Option(metavar="FORMAT", help="messages, or vision (MiniCPM-V).")]
    output: Annotated[str, typer.Option(metavar="OUT", help="A file (.jsonl, .json); with --split also a folder.")]
    format: Annotated[str | None, typer.Option(help="The format of the files. Default: found out.")] = None
    split: Annotated[
        str | None, typer.Option(metavar="SHARES", help="Training, validation and test part: 0.9,0.05,0.05.")
    ] = None
    seed: Annotated[int, typer.Option(help="Draws which record goes into which part.")] = 42
    on_bad: Annotated[str, typer.Option(metavar="stop|skip", help="What to do about records that are bad.")] = "stop"
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False
    picture_root: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="Pictures may lie here too; may be repeated.")
    ] = None
    python: Annotated[bool, typer.Option("--python", help="The files have single quotes, as Python prints.")] = False


def _convert(options: Options) -> None:
    """Write records of any format in another one, and split them.

    The output is written when all records are read and none is bad, else not at all; a file is a list if its name
    ends in .json, else one record a line. With --split, records that ask the same stay in one part, so that nothing
    is tested that was trained; the same seed gives the same parts.
    """
    if options.on_bad not in ("stop", "skip"):
        raise ConfigError(f"--on-bad: '{options.on_bad}' is neither 'stop' nor 'skip'.")
    shares = read_shares(options.split) if options.split is not None else None
    notes = Console(stderr=True, highlight=False)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=notes, transient=True, disable=not notes.is_terminal) as progress:
        task = progress.add_task("0 records")
        account = run(
            Job(
                options.files,
                options.to,
                options.output,
                format=options.format,
                shares=shares,
                seed=options.seed,
                skip_bad=options.on_bad == "skip",
                overwrite=options.overwrite,
                python=options.python,
                pictures=PictureFiles.of(options.picture_root or (), "keep", "--picture-root", opened=False),
                progress=lambda count: progress.update(task, description=f"{count:,} records"),
            )
        )
    if account.bad:
        notes.print(f"Left out:{account.faults}", markup=False, soft_wrap=True)
    for file in account.read:
        left = f", {file.bad:,} left out" if file.bad else ""
        line = f"{file.path}: {_records(file.records)} of the format {file.format}{left}"
        notes.print(line, markup=False, soft_wrap=True)
    for path, count in account.written.items():
        notes.print(f"{path}: {_records(count)} written", markup=False, soft_wrap=True)
    if account.roots:
        roots = ", ".join(sorted(account.roots))
        line = f"Their pictures lie outside the new files' folder; to use them: data.picture_roots=[{roots}]"
        notes.print(line, markup=False, soft_wrap=True)


def _records(count: int) -> str:
    return f"{count:,} record{'s' * (count != 1)}"


convert = expand(_convert, Options)
