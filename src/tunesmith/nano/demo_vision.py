"""tunesmith demo --vision: the bundled model that sees learns to name creatures, and a sheet shows what it says.

The pictures are drawn anew into the run's folder, always the same ones. Those it is asked about are drawn from another
seed, and none of them is among those it learns from.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from .. import config as configuration
from ..runs import RunFolder, write_json
from .before_after import chosen, summary, table
from .sheet import Seen, sheet
from .stage import Sample, answers, learn, make_way, near, one_thread, print_commands, write_card, write_report

if TYPE_CHECKING:
    from ..training.settings import TrainConfig

CONFIG = Path(__file__).with_name("demo_vision.yaml")
KIND = "tunesmith demo --vision"
"""What marks a folder as this demo's own: its report says so."""
SHEET = "sheet.png"
DATA, HELD_OUT = "data", "held-out"
"""In the run's folder: the drawn data set; in that, the pictures that are asked about."""
PICTURES, SEED = 600, 0
"""Pictures that are drawn to learn from (some of them for validation), and their seed."""
ASKED, OTHER_SEED = 84, 1
"""Pictures that are drawn to ask about: each creature twice."""
SHOWN = 12
"""Pictures on the sheet."""


def demo_vision(output: Path, steps: int | None, report: bool = True) -> None:
    """Draw the pictures, ask, train, ask again; write the report, its card and the sheet, and show them."""
    start, screen = time.perf_counter(), Console(highlight=False)
    settings = _settings(output, steps)
    make_way(output, KIND)
    with screen.status("Drawing pictures ..."):
        sample = draw_sample(output / DATA)
    screen.print(
        f"Drawn: {sample.train} pictures of creatures to learn from, {sample.validation} for validation, "
        f"{len(sample.questions)} held out. No held-out picture is among the others."
    )
    with one_thread():
        before = answers(settings.model, sample, "Asking the model before it learns", screen)
        learn(settings)
        after = answers(str(output), sample, "Asking about the same pictures again", screen)
        card = write_card(output, screen) if report else None
    rows = []
    for asked, expected, first, last in zip(sample.questions, sample.expected, before, after, strict=True):
        image = asked.images[0]
        question = asked.messages[-1].content.replace(image.mark, "").strip()
        rows.append(Seen(question, expected, first, last, near(Path(image.path))))
    _draw_sheet(rows, output / SHEET)
    more = {"sheet": str(output / SHEET), "card": card and str(card), "commands": _commands(output, rows, settings)}
    written = write_report(RunFolder(output), KIND, rows, time.perf_counter() - start, more)
    _show(written, rows, screen)


def draw_sample(folder: Path) -> Sample:
    """Draw the data set and the held-out pictures with their questions into `folder`; read and check it all.

    Raises:
        DataError: a record that cannot be used, or a held-out picture that is learned from.
    """
    from ..data.formats.vision import parse
    from ..data.sources import read_records
    from ..errors import DataError
    from .pictures.task import write_task

    write_task(folder, PICTURES, SEED)
    _draw_held_out(folder)
    splits = {
        name: [parse(record, origin) for record, origin in read_records(folder / f"{name}.json")]
        for name in ("train", "validation", "test")
    }
    learned = {_content(one.images[0].path) for name in ("train", "validation") for one in splits[name]}
    for one in splits["test"]:
        if _content(one.images[0].path) in learned:
            raise DataError(f"{one.origin}: this held-out picture is also learned from, so it would measure nothing.")
    return Sample(
        len(splits["train"]),
        len(splits["validation"]),
        [replace(one, messages=one.messages[:-1]) for one in splits["test"]],
        [one.messages[-1].content for one in splits["test"]],
    )


def _draw_held_out(folder: Path) -> None:
    """Draw the held-out pictures as a data set of their own, and write all its records into test.json."""
    from .pictures.task import write_task

    records: list[dict[str, Any]] = []
    for name in write_task(folder / HELD_OUT, ASKED, OTHER_SEED):
        file = folder / HELD_OUT / name
        records += json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
    for record in records:
        record["image"] = f"{HELD_OUT}/{record['image']}"
    write_json(folder / "test.json", sorted(records, key=lambda record: str(record["id"])))


def _content(path: str) -> bytes:
    return Path(path).read_bytes()


def _settings(output: Path, steps: int | None) -> TrainConfig:
    """Return the shipped configuration with the paths of this run."""
    from ..training.settings import TrainConfig

    changes = {
        "output": str(output),
        "data.train": [str(output / DATA / "train.json")],
        "data.validation": [str(output / DATA / "validation.json")],
        **({"training.steps": steps} if steps else {}),
    }
    return configuration.read(TrainConfig, CONFIG, [f"{key}={json.dumps(value)}" for key, value in changes.items()])


def _draw_sheet(rows: list[Seen], file: Path) -> None:
    """Draw some of the questions in English, as many creatures as possible, in the order they were asked."""
    english = [row for row in rows if row.question.isascii()]
    by_picture = {f"{number:03d}": row for number, row in enumerate(english)}  # `chosen` tells rows by their question
    named = [replace(row, question=number) for number, row in by_picture.items()]
    shown = [by_picture[row.question] for row in sorted(chosen(named, SHOWN), key=lambda row: row.question)]
    before, after = sum(row.right_before for row in rows), sum(row.right_after for row in rows)
    sheet(
        shown,
        "Pictures of creatures that it did not learn from",
        f"Right: {before} of {len(rows)} before, {after} of {len(rows)} after learning. Here: {len(shown)} of them.",
    ).save(file)


def _commands(output: Path, rows: list[Seen], settings: TrainConfig) -> dict[str, list[str]]:
    """Return what to type next: for this result, and for the same with a model of 3 billion parameters."""
    name, run = "MiniCPM-V-2", "runs/minicpm-v-2"
    data = " ".join(f"data.{split}={output / DATA / split}.json" for split in ("train", "validation"))
    rest = f"data.max_length={settings.data.max_length} training.epochs=3"
    return {
        "chat": [f"tunesmith chat {output} --image {rows[-1].image}"],
        "minicpm-v-2": [
            f"tunesmith download openbmb/{name} --to models/{name}",
            f"tunesmith train model=models/{name} output={run} {data} {rest}",
            f"tunesmith chat {run} --image {rows[-1].image}",
        ],
    }


def _show(report: dict[str, Any], rows: list[Seen], screen: Console) -> None:
    named = [replace(row, question=f"{Path(row.image).stem}: {row.question}") for row in rows]
    folder = Path(rows[0].image).parent
    screen.print()
    screen.print(table(named, "Pictures that it did not learn from", f"The pictures: {folder}"))
    screen.print(summary(report))
    screen.print(f"Pictures with the answers: {report['sheet']}", soft_wrap=True)
    if report["curves"]:
        screen.print(f"Loss curve: {report['curves'][0]}", soft_wrap=True)
    if report["card"]:
        screen.print(f"Report card, to be opened in a browser: {report['card']}", soft_wrap=True)
    print_commands("Talk to the result about a picture:", report["commands"]["chat"], screen)
    print_commands("The same with MiniCPM-V 2.0, on a machine with a GPU:", report["commands"]["minicpm-v-2"], screen)
