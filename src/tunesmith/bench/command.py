"""tunesmith bench: training measured beside the plain recipe and installed peers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ..errors import ConfigError
from ..options import expand
from .lineup import ALONE, LADDER, SIDES, chosen, installed, with_pythons
from .measure import Terms
from .run import Outputs, bench, cases


@dataclass(frozen=True)
class Options:
    """What `tunesmith bench` can be told."""

    dataset: Annotated[
        list[str] | None, typer.Option(help="pairs, advert, persona, long; may be repeated. Default: see above.")
    ] = None
    size: Annotated[
        list[str] | None, typer.Option(help="nano, 100m, or on a GPU 1b, 2b; may be repeated. Default: see above.")
    ] = None
    side: Annotated[
        list[str] | None,
        typer.Option(help="A side beside plain and tunesmith; may be repeated. Default: all that are installed."),
    ] = None
    peer: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PYTHON", help="The Python in which a peer is installed.")
    ] = None
    ablation: Annotated[bool, typer.Option("--ablation", help="Add our measures to the plain recipe one by one.")] = (
        False
    )
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps. Default: 2 to 12, by size.")] = None
    batch_size: Annotated[int | None, typer.Option(min=1, help="Default: that of the data set, 8 or 32.")] = None
    repeats: Annotated[int, typer.Option(min=1, help="How often each side is measured.")] = 2
    threads: Annotated[int | None, typer.Option(min=1, help="Of each process. Default: one for each core.")] = None
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: the GPU if there is one.")] = "auto"
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write all raw numbers.")] = None
    write: Annotated[str | None, typer.Option(metavar="FILE", help="Rewrite our section of a Markdown page.")] = None
    plot: Annotated[str | None, typer.Option(metavar="FILE", help="Draw speed and memory, .png or .svg.")] = None

    @property
    def command(self) -> str:
        """The command line that measures the same again, but for peers' Pythons, which lie elsewhere there."""
        words = [f"--dataset {name}" for name in self.dataset or ()] + [f"--size {name}" for name in self.size or ()]
        words += [f"--side '{name}'" for name in self.side or ()] + (["--ablation"] if self.ablation else [])
        given = {"steps": self.steps, "batch-size": self.batch_size, "repeats": self.repeats, "threads": self.threads}
        words += [f"--{name} {value}" for name, value in given.items() if value is not None]
        return " ".join(["tunesmith bench", *words])


def _bench(options: Options) -> None:
    """Measure training beside the plain recipe and installed peers: the same rows, model and settings on every side.

    Without options: pairs with a model of 100 million parameters, and the other data sets with the bundled one. Each
    measurement is a process of its own; the sides take turns. All of them must come to the same mean loss.
    """
    notes = Console(stderr=True, highlight=False)
    for name, value in (("--json", options.json), ("--write", options.write), ("--plot", options.plot)):
        if value is not None and not Path(value).absolute().parent.is_dir():
            raise ConfigError(f"{name} {value}: there is no folder '{Path(value).parent}'. Make it first.")
    if options.plot is not None and Path(options.plot).suffix not in (".png", ".svg"):
        raise ConfigError(f"--plot {options.plot}: give a name that ends in .png or .svg.")
    wanted = cases(options.dataset, options.size)
    if options.ablation:
        if options.side or options.peer:
            raise ConfigError("--ablation has sides of its own; leave --side and --peer out.")
        wanted = wanted if options.dataset or options.size else [("pairs", "100m")]
        sides = [*LADDER, *ALONE]
    else:
        known = with_pythons(SIDES, options.peer or ())
        peers = [text.partition("=")[0] for text in options.peer or ()]
        sides, missing = installed(chosen(known, options.side), [*(options.side or ()), *peers])
        for note in missing:
            notes.print(note, markup=False, soft_wrap=True)
    threads = options.threads or os.cpu_count() or 1
    terms = Terms(options.repeats, threads, options.device, options.batch_size, options.steps)
    paths = [None if text is None else Path(text) for text in (options.json, options.write, options.plot)]
    with _ending_all():
        bench(wanted, sides, terms, Outputs(options.command, *paths), notes, options.ablation)


@contextmanager
def _ending_all() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: the running process goes with it, and what was written for it."""

    def stop(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


bench_ = expand(_bench, Options)
