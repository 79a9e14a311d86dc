"""START HERE: one evaluation, top to bottom: read the records, let each model do every task, compare, write results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import __version__, lookup
from ..errors import ConfigError, DataError, MachineError
from ..generate.kernels import use_kernel
from ..models.load import Loaded, resolve
from ..runs import read_json, write_json
from . import tasks
from .desk import Desk, Outcome
from .lineup import Lineup
from .report import Line, finite, lines_of, rows_of, summary
from .source import Source

RESULTS, ANSWERS = "results.json", "answers"
"""The results in the output's folder, and the folder of what is kept while it runs."""
PLACE = Path("runs") / "eval"


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated. `models`: the model, then the baselines.

    `tasks` are names of `eval/tasks/`; empty: those that the records allow. `settings`: values for the tasks' `Config`
    by name, each for all that have a field of that name. `output`: None for a folder of its own under runs/eval.
    """

    models: tuple[str, ...]
    source: Source
    lineup: Lineup = field(default_factory=Lineup)
    tasks: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    output: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What was found: `lines` are the figures, `content` what stands in results.json."""

    folder: Path
    lines: list[Line]
    content: dict[str, Any]
    notes: list[str]


def evaluate(plan: Plan, console: Console | None = None) -> Evaluation:
    """Evaluate models on files of records and write results.json; what an earlier start has done is not done again.

    Raises:
        UserError: something in the command, the data, a model or the machine must be mended first.
        RunError: a model gives no numbers.
    """
    console = console or Console(stderr=True, quiet=True)
    try:
        names = chosen_tasks(plan)
        configs = {name: _config(plan, name) for name in names}
        folder, key = _open(plan, names)
        outcomes: dict[str, list[Outcome]] = {name: [] for name in names}
        models = []
        for name in plan.models:
            with console.status(f"Loading {name} ..."):
                loaded = plan.lineup.load(name)
            fingerprint = plan.lineup.fingerprint(name, loaded)
            models.append(_about(name, loaded, fingerprint))
            if (said := use_kernel(loaded.model, loaded.model.device, loaded.model.dtype)) is not None:
                console.print(said, highlight=False, markup=False, soft_wrap=True)
            for task in names:
                console.print(f"{name}: {task}", style="dim", markup=False, soft_wrap=True)
                desk = Desk(folder / ANSWERS, fingerprint, task)
                outcomes[task].append(_run(plan.source, configs[task], loaded, desk, console))
    except DataError as error:
        if type(error) is not DataError:  # a record's error knows no settings
            raise
        text = str(error).replace("data.on_bad=skip", "--on-bad skip").replace("data.format", "--format")
        raise DataError(text) from None
    lines = [line for task in names for line in lines_of(task, outcomes[task], plan.seed)]
    notes = list(dict.fromkeys(note for found in outcomes.values() for one in found for note in one.notes))
    content = {
        "tunesmith": __version__,
        "key": key,
        "models": models,
        "files": list(plan.source.files),
        "settings": _settings(plan, names),
        "records": plan.source.report.as_json()["files"],
        "notes": notes,
        "summary": summary(lines),
        "rows": {task: rows_of(found) for task, found in outcomes.items()},
    }
    content = finite(content)
    write_json(folder / RESULTS, content)
    return Evaluation(folder, lines, content, notes)


def chosen_tasks(plan: Plan) -> list[str]:
    """Return the tasks that are asked for, else those that the records allow.

    Raises:
        ConfigError: there is no such task.
    """
    for name in plan.tasks:
        lookup.find(tasks.__name__, name, "task")
    if plan.tasks:
        return list(dict.fromkeys(plan.tasks))
    records = plan.source.records
    asked = any(record.conversation.text is None for record in records)
    choices = any(record.choices for record in records)
    return ["perplexity", *(["answer"] if asked else []), *(["choice"] if choices else [])]


def _config(plan: Plan, task: str) -> Any:
    """Return the settings of a task: those of the plan that it has."""
    kind = lookup.find(tasks.__name__, task, "task").Config
    return kind(**{one.name: plan.settings[one.name] for one in fields(kind) if one.name in plan.settings})


def _run(source: Source, config: Any, loaded: Loaded, desk: Desk, console: Console) -> Outcome:
    """Let a model do the task of a desk, with a bar of how far it is."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        row = bar.add_task(desk.task, total=1.0, text="")

        def progress(done: int, total: int) -> None:
            bar.update(row, completed=done, total=max(total, 1), text=f"{done:,} of {total:,}")

        def reading(records: int, share: float) -> None:
            bar.update(row, completed=share, total=1.0, text=f"{records:,} records read")

        shown = replace(desk, progress=progress, reading=reading)
        outcome: Outcome = lookup.find(tasks.__name__, desk.task).run(loaded, source, config, shown)
    return outcome


def _open(plan: Plan, names: list[str]) -> tuple[Path, str]:
    """Return the folder of the results, and the key of this evaluation: what is evaluated, on what, and how.

    Raises:
        ConfigError: the folder holds results of another evaluation. MachineError: it cannot be written.
    """
    place = resolve(plan.models[0])
    what = [str(place.base.resolve()), str(place.adapter and place.adapter.resolve()), _settings(plan, names)]
    key = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
    folder = plan.output or PLACE / f"{Path(plan.models[0]).resolve().name}-{key[:8]}"
    before = read_json(folder / RESULTS)
    if before is not None and before.get("key") != key:
        raise ConfigError(
            f"'{folder}' holds the results of another evaluation (another model, other files or settings). Choose "
            "another --output, or remove that folder."
        )
    try:
        (folder / ANSWERS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineError(f"'{folder}' cannot be written: {error.strerror}. Choose another --output.") from None
    return folder, key


def _settings(plan: Plan, names: list[str]) -> dict[str, Any]:
    """Return everything that decides about the results but the models, as JSON types."""
    source = plan.source
    settings = {
        "tasks": names,
        "files": [str(Path(file).resolve()) for file in source.files],
        "rows": asdict(source.options),
        "on_bad": source.on_bad,
        "format": source.format,
        "choices": source.choices,
        "every_answer": source.every_answer,
        "chat_template": plan.lineup.chat_template,
        "dtype": plan.lineup.dtype,
        "seed": plan.seed,
        **plan.settings,
    }
    found: dict[str, Any] = json.loads(json.dumps(settings, default=vars))
    return found


def _about(name: str, loaded: Loaded, fingerprint: str) -> dict[str, Any]:
    place = resolve(name)
    return {
        "name": name,
        "base": str(place.base),
        "adapter": None if place.adapter is None else str(place.adapter),
        "fingerprint": fingerprint,
        "dtype": str(loaded.model.dtype).removeprefix("torch."),
        "device": loaded.model.device.type,
    }
