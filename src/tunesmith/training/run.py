"""START HERE: one training run, top to bottom. The only place where data, model, tuning and trainer meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from .. import lookup
from ..errors import ConfigError, TunesmithError
from ..runs import CONFIG, DATA, ENVIRONMENT, RunFolder, move_aside, open_run, read_json, replacing, write_json
from . import checkpoint
from .distributed import launch
from .plot import draw_loss
from .settings import TUNING, TrainConfig

if TYPE_CHECKING:
    from .distributed.ranks import Ranks
    from .rows import Rows

FREE_TO_CHANGE = {
    "picture_roots",
    "fetch_pictures",
    "activation_offload",
    "gradient_checkpointing",
    "memory_budget",
    "logging_steps",
    "save_steps",
    "keep_checkpoints",
    "report_to",
    "workers",
    "verify",
    "resume",
}
"""Training settings that a resumed run may change: none of them touches the weights."""


_PLACES = {"output", "distributed"}
"""Sections that say where a run is, which does not touch its weights either."""


@dataclass(frozen=True)
class RunResult:
    """How a run ended. `state` is finished or interrupted; `result` the adapter or model folder of a finished one."""

    folder: Path
    state: str
    step: int
    loss: float | None
    result: Path | None = None
    signal: int | None = None


def train(config: TrainConfig | Mapping[str, Any] | str | Path, overrides: Sequence[str] = ()) -> RunResult:
    """Run a training from a config (a TrainConfig, a mapping, or the path of a YAML file) and return how it ended.

    An unfinished run in the same output folder with the same settings is resumed from its newest good checkpoint.

    Raises:
        UserError: something in the config, the data, the model or the machine must be mended first.
        RunError: the run cannot go on, or its saved result is not what was trained.
    """
    if isinstance(config, TrainConfig):
        config = config.model_dump()
    source = Path(config) if isinstance(config, str) else config
    settings = configuration.read(TrainConfig, source, overrides)
    from .distributed.ranks import joined  # torch: only when a run begins

    if (plan := launch.planned(settings)) is not None:
        return RunResult(Path(settings.output), **launch.run_in_ranks(plan, settings))
    settings = launch.under_accelerate(settings)
    engine = "ddp" if settings.distributed is None else settings.distributed.engine
    with joined(engine != "ddp", keep=engine == "deepspeed") as ranks:
        run, resumed = _open_together(settings, ranks)
        with run.locked():
            return _train(settings, run, resumed, ranks)


def _open_together(config: TrainConfig, ranks: Ranks) -> tuple[RunFolder, bool]:
    """Let rank 0 open the run folder; the others see it, but do not write there."""
    resumed = ranks.tell(_open(config, ranks.world)[1] if ranks.lead else None)
    run = RunFolder(Path(config.output), writes=ranks.lead)
    if not run.checkpoints.is_dir():
        raise ConfigError(
            f"output: rank 0 keeps the run in '{run.path}', which rank {ranks.rank} does not see on its machine. Give "
            "a folder on a file system that all machines share."
        )
    return run, resumed


def _open(config: TrainConfig, world: int) -> tuple[RunFolder, bool]:
    """Return the run folder and whether an earlier, unfinished run in it goes on."""
    run = open_run(config.output)
    state = run.status.get("state")
    if state is None:
        return run, False
    if config.training.resume == "never":
        move_aside(run.path)
        return open_run(config.output), False
    if state == "finished":
        raise ConfigError(
            f"The run '{run.path}' is already finished ({run.status.get('step')} steps). Choose another output, or "
            "set training.resume=never to start anew (the old folder is kept under another name)."
        )
    if not checkpoint.steps(run.checkpoints):
        return run, False  # nothing to go on from, so nothing that other settings could spoil
    changed = _changed(config, run, world)
    if changed:
        raise ConfigError(
            f"The unfinished run '{run.path}' was started with other settings: {'; '.join(changed)}. Put them back "
            "to resume it, choose another output, or set training.resume=never to start anew."
        )
    return run, True


def _changed(config: TrainConfig, run: RunFolder, world: int) -> list[str]:
    """Name the settings that differ from those the run was started with and that its weights depend on.

    Over how many ranks a step is spread, and how the model lies on them, is free, if the step has the same rows.
    """
    from .setup import step_rows

    before = configuration.read(TrainConfig, run.path / CONFIG)
    was = step_rows(before, (read_json(run.path / ENVIRONMENT) or {}).get("ranks", 1))
    now = step_rows(config, world)
    # KTO's baseline is a mean over the batch, so its size is part of the mathematics there.
    free = FREE_TO_CHANGE | (
        set() if config.objective.method == "kto" else {"batch_size", "gradient_accumulation_steps"}
    )

    def flat(value: Any, path: str = "") -> dict[str, Any]:
        if not isinstance(value, dict):
            return {path: value}
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{path}.{key}" if path else key).items()}

    old, new = flat(before.model_dump()), flat(config.model_dump())
    changed = [
        f"{key} was {old.get(key)!r}, now {new.get(key)!r}"
        for key in sorted(set(old) | set(new))
        if old.get(key) != new.get(key) and key.rsplit(".", 1)[-1] not in free and key.split(".")[0] not in _PLACES
    ]
    counted = "rows" if config.training.batch_tokens is None else "batches"
    size = f"a step had {was} {counted}, now {now} (training.batch_size x gradient_accumulation_steps x ranks)"
    return [*changed, size] if was != now else changed


def _train(config: TrainConfig, run: RunFolder, resumed: bool, ranks: Ranks) -> RunResult:
    from . import steps
    from .callbacks import Progress
    from .rows import arrange, prepare_rows
    from .setup import choose, conditions

    if run.writes:
        with replacing(run.path / CONFIG) as stream:
            stream.write(configuration.dump(config))
    run.set_status("running", step=run.status.get("step", 0))
    progress = Progress()
    try:
        setup = choose(config, ranks)
        run.write_environment(ranks.world, conditions(config, setup.device))
        with ranks.first():
            rows = prepare_rows(config, setup)
        _check_data(run, rows, resumed)
        loaded = steps.load_base(config, setup)
        rows = arrange(config, setup, loaded, rows)
        method = lookup.find(TUNING, config.tuning.method)
        objective = steps.build_objective(config, setup, loaded, method, run)
        steps.test_objective(config, setup, objective, rows)
        trainer = steps.build_trainer(config, setup, objective, rows, method, run)
        stopped_by = steps.fit(config, setup, trainer, run, progress)
        if stopped_by is not None:
            run.set_status("interrupted", step=progress.step, loss=progress.loss, signal=stopped_by)
            return RunResult(run.path, "interrupted", progress.step, progress.loss, signal=stopped_by)
        if not run.writes:
            return RunResult(run.path, "finished", progress.step, progress.loss)
        _write_data(run, rows)
        result = steps.save_result(config, setup, steps.learned(config, setup, trainer, method), rows, method, run)
        facts = steps.verify(config, setup, run)
        draw_loss(run)
    except KeyboardInterrupt:  # before the first step, or after the last
        run.set_status("interrupted", step=progress.step, loss=progress.loss)
        raise
    except BaseException as error:
        told = ranks.explained(error)
        run.set_status("failed", step=progress.step, loss=progress.loss, reason=_reason(told))
        if told is not error:
            raise told from error
        raise
    run.set_status("finished", step=progress.step, loss=progress.loss, result=result.name, **facts)
    setup.say(f"Finished. The result is '{result}'; talk to it with: tunesmith chat {run.path}")
    return RunResult(run.path, "finished", progress.step, progress.loss, result)


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, TunesmithError) else f"{type(error).__name__}: {error}"


def _check_data(run: RunFolder, rows: Rows, resumed: bool) -> None:
    """Refuse to resume on other rows than those the run began with; write down what the rows are.

    Raises:
        ConfigError: the data, the tokenizer or the template has changed.
    """
    before = read_json(run.path / DATA)
    if resumed and before is not None and before["fingerprint"] != rows.fingerprint:
        raise ConfigError(
            f"The unfinished run '{run.path}' began with other rows: the data files, the tokenizer or the template "
            "have changed since. Put them back to resume it, or set training.resume=never to start anew."
        )
    _write_data(run, rows)


def _write_data(run: RunFolder, rows: Rows) -> None:
    """Write down what became of every record; again at the end, since a stream is read while the run goes on."""
    if not run.writes:
        return
    content = {"fingerprint": rows.fingerprint, **rows.report.as_json()}
    if rows.validation is not None and rows.validation.report is not rows.report:
        content["validation"] = rows.validation.report.as_json()
    write_json(run.path / DATA, content)
