"""tunesmith demo: the bundled model learns a name and a task on this machine, and is asked before and after."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from .. import config as configuration
from ..errors import ConfigError
from ..runs import RunFolder
from . import DATA
from .before_after import Row, summary, table
from .stage import Sample, answers, learn, make_way, near, one_thread, print_commands, write_card, write_report

if TYPE_CHECKING:
    from ..training.settings import TrainConfig

CONFIG = Path(__file__).with_name("demo.yaml")
KIND = "tunesmith demo"
"""What marks a folder as this demo's own: its report says so."""


class Family(str, Enum):
    """The families that have a bundled model."""

    MINICPM = "minicpm"
    MINICPMV = "minicpmv"
    TRANSNORMER = "transnormer"


@dataclass(frozen=True)
class Play:
    """What a family's demo is about.

    `output`: where the run goes unless told otherwise; `large`: the published model to do the same with, and `run`
    the folder for that.
    """

    config: Path
    kind: str
    output: Path
    large: str
    run: str


PLAYS = {
    Family.MINICPM: Play(CONFIG, KIND, Path("runs/demo"), "openbmb/MiniCPM-2B-sft-bf16", "runs/minicpm-2b"),
    Family.TRANSNORMER: Play(
        CONFIG.with_name("demo_transnormer.yaml"),
        f"{KIND} --family transnormer",
        Path("runs/demo-transnormer"),
        "OpenNLPLab/TransNormerLLM-1B",
        "runs/transnormerllm-1b",
    ),
}


def demo(
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the run goes. Default: runs/demo, runs/demo-vision or runs/demo-FAMILY."
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps (to try things out).")] = None,
    vision: Annotated[bool, typer.Option("--vision", help="The same as --family minicpmv.")] = False,
    family: Annotated[Family | None, typer.Option(help="Which tiny model learns. Default: minicpm.")] = None,
    report: Annotated[bool, typer.Option(" /--no-report", help="Leave out the report card.")] = True,
) -> None:
    """Watch a tiny model learn on this machine, in about a minute.

    The bundled model (a MiniCPM, or the TransNormerLLM with --family transnormer) is asked questions, learns a new name
    and a sorting task from the bundled sample data (LoRA, on the CPU), and is asked again. Nothing is downloaded. The
    questions are not among those it learned from. A report card (one page of HTML) says how it went.

    With --family minicpmv a model that sees learns the names of drawn creatures; a sheet of pictures shows what it
    says.
    """
    if vision and family and family is not Family.MINICPMV:
        raise ConfigError(f"--vision means --family minicpmv, and --family {family.value} was given. Leave one out.")
    if vision or family is Family.MINICPMV:
        from .demo_vision import demo_vision

        demo_vision(output or Path("runs/demo-vision"), steps, report)
        return
    play = PLAYS[family or Family.MINICPM]
    output = output or play.output
    start, screen = time.perf_counter(), Console(highlight=False)
    settings = _settings(play, output, steps)
    sample = read_sample()
    make_way(output, play.kind)
    screen.print(
        f"Sample data: {sample.train} records to learn from, {sample.validation} for validation, "
        f"{len(sample.questions)} questions held out. All can be read; no held-out question is among the others."
    )
    with one_thread():
        before = answers(settings.model, sample, "Asking the model before it learns", screen)
        learn(settings)
        after = answers(str(output), sample, "Asking the same questions again", screen)
        card = write_card(output, screen) if report else None
    texts = [conversation.messages[-1].content for conversation in sample.questions]
    rows = [Row(*row) for row in zip(texts, sample.expected, before, after, strict=True)]
    more = {"card": card and str(card), "commands": _commands(play, output, settings)}
    written = write_report(RunFolder(output), play.kind, rows, time.perf_counter() - start, more)
    _show(play, written, rows, screen)


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


def _settings(play: Play, output: Path, steps: int | None) -> TrainConfig:
    """Return the shipped configuration with this machine's paths."""
    from ..training.settings import TrainConfig

    changes = {
        "output": str(output),
        "data.train": [str(DATA / "train.json")],
        "data.validation": [str(DATA / "validation.json")],
        **({"training.steps": steps} if steps else {}),
    }
    return configuration.read(
        TrainConfig, play.config, [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    )


def _commands(play: Play, output: Path, settings: TrainConfig) -> dict[str, list[str]]:
    """Return what to type next: for this result, and for the same with a published model of the family."""
    name = play.large.rpartition("/")[2]
    data = f"data.train={near(DATA / 'train.json')} data.validation={near(DATA / 'validation.json')}"
    rest = f"data.max_length={settings.data.max_length} training.epochs=3"
    return {
        "chat": [f"tunesmith chat {output}"],
        "large": [
            f"tunesmith download {play.large} --to models/{name}",
            f"tunesmith train model=models/{name} output={play.run} {data} {rest}",
            f"tunesmith chat {play.run}",
        ],
    }


def _show(play: Play, report: dict[str, Any], rows: list[Row], screen: Console) -> None:
    screen.print()
    screen.print(table(rows))
    screen.print(summary(report))
    if report["curves"]:
        screen.print(f"Loss curve: {report['curves'][0]}", soft_wrap=True)
    if report["card"]:
        screen.print(f"Report card, to be opened in a browser: {report['card']}", soft_wrap=True)
    print_commands("Talk to the result:", report["commands"]["chat"], screen)
    large = play.large.rpartition("/")[2]
    print_commands(f"The same with {large}, on a machine with a GPU:", report["commands"]["large"], screen)
