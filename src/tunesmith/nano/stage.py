"""What both demos do alike: the folder they own, the training in it, the answers before and after, the report."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from ..errors import ConfigError
from ..report import CARD, KEPT
from ..runs import STATUS, RunFolder, open_run, read_json, write_json
from .before_after import Row

if TYPE_CHECKING:
    from ..data.types import Conversation
    from ..training.settings import TrainConfig

REPORT = "report.json"
LONGEST = 48
"""Tokens that an answer may have."""
CARD_ROWS = 24
"""Validation rows that the report card asks about."""


@dataclass(frozen=True)
class Sample:
    """A demo's data: how many records there are to learn from, and the questions held out with their answers."""

    train: int
    validation: int
    questions: list[Conversation]
    expected: list[str]


def make_way(output: Path, kind: str) -> None:
    """Remove what an earlier demo of this kind left in `output`, and mark the folder as the demo's.

    Raises:
        ConfigError: the folder holds something else. Nothing in it is touched then.
    """
    if output.is_dir() and any(output.iterdir()):
        earlier = read_json(output / REPORT) if (output / REPORT).is_file() else None
        if not isinstance(earlier, dict) or earlier.get("kind") != kind:
            raise ConfigError(
                f"'{output}' holds something that is not an earlier demo (`{kind}`). Nothing there is touched; choose "
                "another folder with --output."
            )
        own = earlier.get("files")
        own = own and {*own, CARD, KEPT}  # a report card may have been written later
        others = sorted(path.name for path in output.iterdir() if own and path.name not in own)
        if others:
            raise ConfigError(
                f"'{output}' holds an earlier demo and something else ({', '.join(others[:3])}). Nothing there is "
                "touched; move that away, or choose another folder with --output."
            )
        with RunFolder(output).locked():  # not while another process writes it
            shutil.rmtree(output)
    run = open_run(output)
    write_json(run.path / STATUS, {})  # a run that has not begun
    write_json(run.path / REPORT, {"kind": kind, "state": "running"})


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute in one thread: for a model this small more of them gain little, and cost much on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learn(settings: TrainConfig) -> None:
    """Train; a demo that is stopped here ends the program as its signal would."""
    from ..training.run import train  # heavy: torch, transformers

    result = train(settings)
    if result.state == "interrupted":
        Console(stderr=True).print("The demo was stopped; the same command begins it anew.")
        raise typer.Exit(128 + (result.signal or 2))


def answers(model: str, sample: Sample, text: str, screen: Console) -> list[str]:
    """Return the model's answers to the held-out questions; `text` says on the screen what is going on."""
    with screen.status(f"{text} ..."):
        from transformers.utils import logging

        from ..generate.batch import answer_all
        from ..generate.sampling import Sampling
        from ..models.load import load

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        given = answer_all(
            load(model, device="cpu"), sample.questions, Sampling(greedy=True, max_new_tokens=LONGEST), batch_size=20
        )
        return [answer.strip() for answer in given]


def write_card(output: Path, screen: Console) -> Path:
    """Write the run's report card, and return its path."""
    with screen.status("Writing the report card ..."):
        from ..report.heldout import Wanted
        from ..report.run import report

        words = [str(output), "--limit", str(CARD_ROWS), "--max-new-tokens", str(LONGEST), "--device", "cpu"]
        return report(output, wanted=Wanted(limit=CARD_ROWS, max_new_tokens=LONGEST, device="cpu"), command=words)


def write_report(
    run: RunFolder, kind: str, rows: Sequence[Row], seconds: float, more: dict[str, Any]
) -> dict[str, Any]:
    """Write report.json and return its content; `more` stands in it beside what every demo reports."""
    losses = [line["loss"] for line in run.metric_lines() if "loss" in line]
    report = {
        "kind": kind,
        "state": "finished",
        "questions": len(rows),
        "match_before": sum(row.right_before for row in rows) / len(rows),
        "match_after": sum(row.right_after for row in rows) / len(rows),
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "seconds": round(seconds, 1),
        "curves": [str(run.path / name) for name in ("loss.png", "loss.svg") if (run.path / name).is_file()],
        **more,
        "rows": [asdict(row) for row in rows],
        "files": sorted(path.name for path in run.path.iterdir()),
    }
    write_json(run.path / REPORT, report)
    return report


def near(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def print_commands(title: str, commands: Sequence[str], screen: Console) -> None:
    """Print what to type next, each command on one line, to be copied."""
    screen.print(f"\n{title}", style="bold")
    for command in commands:
        screen.print(f"  {command}", markup=False, soft_wrap=True, style="cyan")
