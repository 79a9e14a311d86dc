"""tunesmith demo: the bundled model learns a name and a task on this machine, and is asked before and after."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .. import config as configuration
from ..errors import ConfigError
from ..runs import STATUS, RunFolder, open_run, read_json, write_json
from . import DATA
from .before_after import Row, summary, table

if TYPE_CHECKING:
    from ..data.types import Conversation
    from ..training.settings import TrainConfig

CONFIG = Path(__file__).with_name("demo.yaml")
REPORT = "report.json"
KIND = "tunesmith demo"
"""What marks a folder as the demo's own: its report says so."""
LONGEST = 48
"""Tokens that an answer may have."""


@dataclass(frozen=True)
class Sample:
    """The bundled data: how many records there are to learn from, and the questions held out with their answers."""

    train: int
    validation: int
    questions: list[Conversation]
    expected: list[str]


def demo(
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the run goes.")] = Path("runs/demo"),
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps (to try things out).")] = None,
) -> None:
    """Watch a tiny MiniCPM learn on this machine, in about a minute.

    The bundled model is asked questions, learns a new name and a sorting task from the bundled sample data (LoRA, on
    the CPU), and is asked again. Nothing is downloaded. The questions are not among those it learned from.
    """
    start, screen = time.perf_counter(), Console(highlight=False)
    settings = _settings(output, steps)
    sample = read_sample()
    _make_way(output)
    screen.print(
        f"Sample data: {sample.train} records to learn from, {sample.validation} for validation, "
        f"{len(sample.questions)} questions held out. All can be read; no held-out question is among the others."
    )
    with _one_thread():
        before = _answers(settings.model, sample, "Asking the model before it learns", screen)
        _train(settings)
        after = _answers(str(output), sample, "Asking the same questions again", screen)
    texts = [conversation.messages[-1].content for conversation in sample.questions]
    rows = [Row(*row) for row in zip(texts, sample.expected, before, after, strict=True)]
    report = _report(RunFolder(output), rows, settings, time.perf_counter() - start)
    _show(report, rows, screen)


def read_sample() -> Sample:
    """Read and check the bundled sample data.

    Raises:
        DataError: a record that cannot be used, or a held-out question that is learned from.
    """
    from ..data.formats.messages import parse
    from ..data.sources import read_records
    from ..data.types import Conversation
    from ..errors import DataError

    splits = {
        name: [parse(record, origin) for record, origin in read_records(DATA / f"{name}.json")]
        for name in ("train", "validation", "test")
    }
    learned = {one.messages[0].content for name in ("train", "validation") for one in splits[name]}
    leaked = [one for one in splits["test"] if one.messages[0].content in learned]
    if leaked:
        raise DataError(
            f"{leaked[0].origin}: this held-out question is also learned from, so it would measure nothing."
        )
    return Sample(
        len(splits["train"]),
        len(splits["validation"]),
        [Conversation(one.messages[:-1], one.origin) for one in splits["test"]],
        [one.messages[-1].content for one in splits["test"]],
    )


def _settings(output: Path, steps: int | None) -> TrainConfig:
    """Return the shipped configuration with this machine's paths."""
    from ..training.settings import TrainConfig

    changes = {
        "output": str(output),
        "data.train": [str(DATA / "train.json")],
        "data.validation": [str(DATA / "validation.json")],
        **({"training.steps": steps} if steps else {}),
    }
    return configuration.read(TrainConfig, CONFIG, [f"{key}={json.dumps(value)}" for key, value in changes.items()])


def _make_way(output: Path) -> None:
    """Remove what an earlier demo left in `output`, and mark the folder as the demo's.

    Raises:
        ConfigError: the folder holds something else. Nothing in it is touched then.
    """
    if output.is_dir() and any(output.iterdir()):
        earlier = read_json(output / REPORT) if (output / REPORT).is_file() else None
        if not isinstance(earlier, dict) or earlier.get("kind") != KIND:
            raise ConfigError(
                f"'{output}' holds something that is not an earlier demo. Nothing there is touched; choose another "
                "folder with --output."
            )
        own = earlier.get("files")
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
    write_json(run.path / REPORT, {"kind": KIND, "state": "running"})


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: for a model this small more of them gain little, and cost much on a busy machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train(settings: TrainConfig) -> None:
    from ..training.run import train  # heavy: torch, transformers

    result = train(settings)
    if result.state == "interrupted":
        Console(stderr=True).print("The demo was stopped; the same command begins it anew.")
        raise typer.Exit(128 + (result.signal or 2))


def _answers(model: str, sample: Sample, text: str, screen: Console) -> list[str]:
    """Return the model's answers to the held-out questions."""
    with screen.status(f"{text} ..."):
        from transformers.utils import logging

        from ..generate.batch import answer_all
        from ..generate.sampling import Sampling
        from ..models.load import load

        logging.set_verbosity_error()
        logging.disable_progress_bar()
        answers = answer_all(
            load(model, device="cpu"), sample.questions, Sampling(greedy=True, max_new_tokens=LONGEST), batch_size=20
        )
        return [answer.strip() for answer in answers]


def _report(run: RunFolder, rows: list[Row], settings: TrainConfig, seconds: float) -> dict[str, Any]:
    """Write report.json and return its content."""
    losses = [line["loss"] for line in run.metric_lines() if "loss" in line]
    report = {
        "kind": KIND,
        "state": "finished",
        "questions": len(rows),
        "match_before": sum(row.right_before for row in rows) / len(rows),
        "match_after": sum(row.right_after for row in rows) / len(rows),
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "seconds": round(seconds, 1),
        "curves": [str(run.path / name) for name in ("loss.png", "loss.svg") if (run.path / name).is_file()],
        "commands": _commands(run.path, settings),
        "rows": [asdict(row) for row in rows],
        "files": sorted(path.name for path in run.path.iterdir()),
    }
    write_json(run.path / REPORT, report)
    return report


def _commands(output: Path, settings: TrainConfig) -> dict[str, list[str]]:
    """Return what to type next: for this result, and for the same with a model of 2 billion parameters."""
    name, run = "MiniCPM-2B-sft-bf16", "runs/minicpm-2b"
    data = f"data.train={_near(DATA / 'train.json')} data.validation={_near(DATA / 'validation.json')}"
    rest = f"data.max_length={settings.data.max_length} training.epochs=3"
    return {
        "chat": [f"tunesmith chat {output}"],
        "minicpm-2b": [
            f"hf download openbmb/{name} --local-dir models/{name}",
            f"tunesmith train model=models/{name} output={run} {data} {rest}",
            f"tunesmith chat {run}",
        ],
    }


def _near(path: Path) -> str:
    """Return a path as short as it can be written from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _show(report: dict[str, Any], rows: list[Row], screen: Console) -> None:
    screen.print()
    screen.print(table(rows))
    screen.print(summary(report))
    if report["curves"]:
        screen.print(f"Loss curve: {report['curves'][0]}", soft_wrap=True)
    screen.print("\nTalk to the result:", style="bold")
    _print_commands(report["commands"]["chat"], screen)
    screen.print("\nThe same with MiniCPM-2B, on a machine with a GPU:", style="bold")
    _print_commands(report["commands"]["minicpm-2b"], screen)


def _print_commands(commands: list[str], screen: Console) -> None:
    for command in commands:
        screen.print(f"  {command}", markup=False, soft_wrap=True, style="cyan")
