"""tunesmith report RUN and tunesmith reproduce RUN."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from ..options import expand

if TYPE_CHECKING:
    from .reproduce import Comparison

SHOWN = 12
"""Lines of a comparison that are printed; those that differ come first."""


@dataclass(frozen=True)
class Options:
    """What `tunesmith report` can be told."""

    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
    html: Annotated[Path | None, typer.Option(metavar="OUT", help="The file to write. Default: RUN/report.html.")] = (
        None
    )
    data: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Records to ask instead of those that the run held out; may be repeated."),
    ] = None
    on_bad: Annotated[Literal["stop", "skip"], typer.Option(help="What to do about bad records of --data.")] = "stop"
    format: Annotated[str | None, typer.Option(metavar="NAME", help="Of --data. Default: found out.")] = None
    limit: Annotated[int, typer.Option(min=1, help="Records that are asked at most, spread evenly.")] = 50
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens of an answer at most.")] = 128
    language: Annotated[
        Literal["en", "zh"] | None, typer.Option(help="Shown first. Default: that of this terminal.")
    ] = None
    device: Annotated[str | None, typer.Option(help="Default: the GPU if there is one, else cpu.")] = None
    dtype: Annotated[str | None, typer.Option(help="bfloat16, float16, float32. Default: the stored one.")] = None


def _report(options: Options) -> None:
    """Write the report card of a run: one page of HTML that needs no network and no script.

    What was trained, on which data, the curves; the base model and the result side by side on rows that the run held
    out, with figures and their intervals; what it forgot; the commands. A run that is not finished gets a card that
    says so. What has been asked is kept in the run's folder, so the next report is quick.
    """
    from transformers.utils import logging

    from .heldout import Wanted
    from .run import report as write

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    wanted = Wanted(
        tuple(options.data or ()),
        options.on_bad,
        options.format,
        options.limit,
        options.max_new_tokens,
        options.device,
        options.dtype,
    )
    notes = Console(stderr=True, highlight=False)
    try:
        target = write(options.run, options.html, wanted, options.language, _words(options), notes)
    except KeyboardInterrupt:
        notes.print("Stopped. No page was written; what is done is kept, and the same command goes on from there.")
        raise
    Console(highlight=False).print(f"Report card: {target}", markup=False, soft_wrap=True)


report = expand(_report, Options)


def _words(options: Options) -> list[str]:
    """Return the words of the command, without those that say what is usual."""
    words = [str(options.run)]
    for option in fields(options)[1:]:
        value = getattr(options, option.name)
        if value != option.default:
            for one in value if isinstance(value, list) else [value]:
                words += [f"--{option.name.replace('_', '-')}", str(one)]
    return words


def reproduce(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")],
    steps: Annotated[int | None, typer.Option(min=1, help="How many steps. Default: the first 10.")] = None,
) -> None:
    """Compute the first steps of a run again, and compare loss, gradient norm and learning rate with what it logged.

    Everything is taken from the run's folder; nothing is written there. On the same machine, with the same versions and
    as many threads (they are set as in the run), a CPU gives the same numbers, bit for bit. Exit status 0: equal, 1:
    not equal; what is known to differ is named.
    """
    from .reproduce import reproduce as compute

    found = compute(run, steps, Console(stderr=True))
    _print(found, Console(file=sys.stdout, highlight=False))
    if not found.equal:
        raise typer.Exit(1)


def _print(found: Comparison, screen: Console) -> None:
    """Print the steps then and now, and what is not as it was."""
    for change in found.other:
        screen.print(f"Not as in the run: {change}.", markup=False, soft_wrap=True)
    if found.other:
        screen.print("Nothing was computed: it would be another training.")
        return
    logged = [(then, now, gap) for (then, now), gap in zip(found.pairs, found.gaps, strict=True) if "loss" in then]
    table = Table("step", "loss then", "loss now", "largest difference")
    for then, now, gap in sorted(sorted(logged, key=lambda one: one[2] == 0)[:SHOWN], key=lambda one: one[0]["step"]):
        table.add_row(str(then["step"]), repr(then["loss"]), repr(now.get("loss")), f"{gap:.1e}" if gap else "none")
    screen.print(table)
    if found.equal:
        screen.print(f"Equal, bit for bit: {logged[-1][0]['step']} steps; loss, gradient norm and learning rate.")
    else:
        first = next(then["step"] for (then, _), gap in zip(found.pairs, found.gaps, strict=True) if gap)
        screen.print(f"Not equal: from step {first} on, by up to {max(found.gaps):.1e} (relative).")
    for change in found.around:
        screen.print(f"Not as in the run: {change}.", markup=False, soft_wrap=True)
    if not found.equal and not found.around:
        screen.print(
            "Versions, device and threads are those of the run. What remains: another state of tunesmith's code under the "
            "same version, another processor, or operations of a GPU that sum up in any order.",
            soft_wrap=True,
        )
