"""The first steps of a run once more, from what its folder says, compared number by number with its metrics."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from transformers import TrainerCallback

from .. import config as configuration
from .. import lookup
from ..errors import ConfigError
from ..runs import CONFIG, DATA, ENVIRONMENT, RunFolder, open_run, read_json
from ..training import steps
from ..training.callbacks import Progress
from ..training.distributed.ranks import joined
from ..training.rows import arrange, prepare_rows
from ..training.settings import TUNING, TrainConfig
from ..training.setup import choose, conditions
from .facts import check_run

if TYPE_CHECKING:
    from ..training.rows import Rows

STEPS = 10
COMPARED = ("loss", "grad_norm", "learning_rate", "eval_loss")
"""What is compared of each line of metrics.jsonl, where the run has it."""
CONDITIONS = {
    "device": "the device",
    "threads": "the threads that share a sum on the CPU",
    "instructions": "the CPU's instructions",
}
Line = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """The logged lines of the first steps, (then, now) each, and what is not as it was.

    `other`: the data or the model are not those of the run, so nothing was computed. `around`: versions and machine,
    which can change the last bits.
    """

    pairs: list[tuple[Line, Line]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    around: list[str] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether all numbers are the same, bit for bit."""
        return bool(self.pairs) and all(gap == 0 for gap in self.gaps)

    @property
    def gaps(self) -> list[float]:
        """For each line the largest relative difference of a number."""
        return [_gap(then, now) for then, now in self.pairs]


class Until(TrainerCallback):
    """Stops after so many steps: schedule and order of rows stay those of the whole run."""

    def __init__(self, last: int, shown: Callable[[int], None]) -> None:
        self.last, self.shown = last, shown

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Say how far it is, and stop at the last step that is wanted."""
        self.shown(state.global_step)
        if state.global_step >= self.last:
            control.should_training_stop = True
        return control


def reproduce(folder: Path, count: int | None = None, console: Console | None = None) -> Comparison:
    """Compute the first `count` steps of a run again in a temporary folder, and compare them with its metrics.

    Raises:
        ConfigError: no run, one that logged no step, or one of several processes.
        UserError: its data, its model or its device are not there.
    """
    console = console or Console(stderr=True, quiet=True)
    check_run(folder)
    logged = [line["step"] for line in RunFolder(folder).metric_lines() if "loss" in line]
    if not logged:
        raise ConfigError(f"The run '{folder}' has logged no step, so there is nothing to compare with.")
    before: dict[str, Any] = read_json(folder / ENVIRONMENT) or {}
    if before.get("ranks", 1) > 1:
        raise ConfigError(
            f"The run '{folder}' was computed by {before['ranks']} processes, which sum up in another order than one; "
            "its steps cannot be computed again bit for bit in this process."
        )
    last = max(min(count or STEPS, logged[-1]), logged[0])
    with tempfile.TemporaryDirectory(prefix="tunesmith-reproduce-") as aside, _threads(before.get("threads")):
        again = Path(aside) / "run"
        config = configuration.read(TrainConfig, folder / CONFIG, _changes(again))
        run = open_run(again)
        found = _run(config, run, folder, last, console)
        then, now = (_lines(one, last) for one in (RunFolder(folder), run))
        pairs = [] if found.other else list(zip(then, now, strict=True))
    return replace(found, pairs=pairs)


def _changes(folder: Path) -> list[str]:
    """Return what is set otherwise than in the run: where it is written, and nothing that its numbers depend on."""
    changes = {"output": str(folder), "training.save_steps": 10**9, "training.result": "last", "training.report_to": []}
    return [f"{name}={json.dumps(value)}" for name, value in changes.items()]


def _run(config: TrainConfig, run: RunFolder, original: Path, last: int, console: Console) -> Comparison:
    """Train up to step `last`, by the steps of `training.run`, and say what is not as it was."""
    engine = "ddp" if config.distributed is None else config.distributed.engine
    with joined(engine != "ddp", keep=engine == "deepspeed") as ranks:
        setup = replace(choose(config, ranks), console=Console(quiet=True))
        run.write_environment(ranks.world, conditions(config, setup.device))
        environments = [read_json(place / ENVIRONMENT) or {} for place in (original, run.path)]
        with console.status("Reading the data ..."):
            rows = prepare_rows(config, setup)
        found = Comparison(
            other=_other(read_json(original / DATA) or {}, rows, environments), around=_around(*environments)
        )
        if found.other:
            return found
        with console.status("Loading the model ...") as status:
            loaded = steps.load_base(config, setup)
            rows = arrange(config, setup, loaded, rows)
            method = lookup.find(TUNING, config.tuning.method)
            objective = steps.build_objective(config, setup, loaded, method, run)
            steps.test_objective(config, setup, objective, rows)
            trainer = steps.build_trainer(config, setup, objective, rows, method, run)
            trainer.add_callback(Until(last, lambda step: status.update(f"Step {step} of {last} ...")))
            if steps.fit(config, setup, trainer, run, Progress()) is not None:
                raise KeyboardInterrupt
    return found


def _other(then: Mapping[str, Any], rows: Rows, environments: list[dict[str, Any]]) -> list[str]:
    """Name what the run was computed from and is another now: the model, files of data."""
    found = []
    before, now = (one.get("model", "") for one in environments)
    if before and before != now:
        found.append(f"the base model: its fingerprint was {before[:12]}, now it is {now[:12]}")
    if then.get("fingerprint") == rows.fingerprint:
        return found
    reports = [rows.report, *([rows.validation.report] if rows.validation is not None else [])]
    known = {file["path"]: file for part in (then, then.get("validation", {})) for file in part.get("files", [])}
    current = {file.path: file for report in reports for file in report.files}
    changed = []
    for path, file in current.items():
        was = known.get(path)
        if was is None:
            changed.append(f"'{path}' is not a file of the run")
        elif was.get("sha256") and was["sha256"] != file.sha256:
            changed.append(f"'{path}' has other content ({was['records']:,} records then, {file.records:,} now)")
    changed += [f"'{path}' is gone" for path in known if path not in current]
    if not changed:
        changed = [
            "the rows: the files named in the run are the same, so a picture, the tokenizer or the template differs"
        ]
    return [*found, *changed]


def _around(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Name versions, and what else of the machine can change the last bits, that are not as they were."""
    versions = {**then.get("versions", {}), "Python": then.get("machine", {}).get("python")}
    here = {**now["versions"], "Python": now["machine"]["python"]}
    found = [
        f"{name} was {was}, now {here.get(name)}" for name, was in versions.items() if was and was != here.get(name)
    ]
    for name, what in CONDITIONS.items():
        if name in then and then[name] != now[name]:
            found.append(f"{what}: {then[name]} then, {now[name]} now")
    return found


def _lines(run: RunFolder, last: int) -> list[Line]:
    """Return what is compared of the lines up to step `last`."""
    lines = [line for line in run.metric_lines() if line["step"] <= last]
    return [{name: line[name] for name in ("step", *COMPARED) if name in line} for line in lines]


def _gap(then: Line, now: Line) -> float:
    """Return the largest relative difference of two lines: 0 where all bits are the same, infinite where one lacks a number."""
    if then.keys() != now.keys():
        return float("inf")
    return max((abs(then[name] - now[name]) / (abs(then[name]) or 1.0) for name in then), default=0.0)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute in as many threads as the run did: another number sums up in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
