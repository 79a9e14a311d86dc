"""export(): one export, top to bottom: written aside, read back by a clean process, and only then named."""

from __future__ import annotations

import gc
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from .. import __version__, lookup
from ..aside import free_place, written_aside
from ..errors import ConfigError, MachineError, RoundTripError
from ..models.load import DTYPES, load
from ..runs import write_json
from .check import TARGETS, check_in_clean_process
from .expected import ROWS, record, recorded_in, rows_of, seams
from .folder import EXACT, ROUNDED
from .source import Advance, Settings, Source, Task, Written

REPORT = "export.json"
"""In an export: what it was made from, and how far it is from the run."""
_ALWAYS = {"compute", "device", "data", "rows"}


def export(
    run: str | Path, target: str, to: str | Path | None = None, settings: Settings | None = None
) -> tuple[Path, dict[str, Any]]:
    """Export a finished run (or an adapter, or a model) and return the new folder and its report.

    Raises:
        ConfigError: an unknown target, a setting it does not have, a model it cannot have, or a folder that exists.
        ModelError, AdapterError: the run is unfinished or damaged, or its adapter belongs to another base.
        MachineError: no space, or a library is missing.
        RoundTripError: what was written is not what the run computes; nothing of it is left.
    """
    settings = settings or Settings()
    module = lookup.find(TARGETS, target, "target")
    _check_settings(settings, target, module)
    source = Source.of(run, settings)
    if why := module.refusal(source):
        raise ConfigError(f"'{run}' ({source.model_type}) cannot become '{target}': {why}.")
    folder = _place(source, target, to)
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    with tempfile.TemporaryDirectory() as expected, written_aside(folder, "--to") as aside:
        task, facts = _write(source, module, aside, Path(expected), console)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()  # the clean process needs the room
        with console.status("Reading it back in a clean process ..."):
            check = check_in_clean_process(task, Path(expected))
        check.pop("faults")
        report = {"target": target, **facts, "check": check, "files": _files(aside), "tunesmith": __version__}
        write_json(aside / REPORT, report)
    return folder, report


def _write(
    source: Source, module: ModuleType, aside: Path, expected: Path, console: Console
) -> tuple[Task, dict[str, Any]]:
    """Load the run, record what it computes, and let the target write; the model is let go at the end."""
    target = module.__name__.rpartition(".")[2]
    stored = source.stored_dtype
    dtype = DTYPES.get(source.settings.dtype or "", stored)
    device = torch.device(source.settings.device or "cpu")
    with console.status(f"Loading {source.name} ..."):
        compute = DTYPES[source.settings.compute or "float32"]
        loaded = load(source.name, dtype=compute, device=device, base="rounded")
    with console.status("Recording what the run computes ..."):
        rows = rows_of(source.run, loaded, source.settings.data or (), source.settings.rows or ROWS)
        apart = record(loaded, rows, expected)
        notes = seams(loaded)
    _check_recorded(source, apart, (str(compute).removeprefix("torch."), device.type))
    with _bar(console) as (resize, advance):
        out = Written(source, loaded, dtype, compute == torch.float32, advance, notes)
        resize(needed := module.size(out))
        _check_space(aside, needed)
        module.write(out, aside)
    kind, computed = (str(one).removeprefix("torch.") for one in (dtype, compute))
    facts = {
        "source": source.name,
        "family": source.model_type,
        "base": str(source.place.base),
        "adapter": None if source.place.adapter is None else str(source.place.adapter),
        "settings": {key: value for key, value in vars(source.settings).items() if value is not None},
        "dtype": kind,
        "computed_in": computed,
        "recorded_difference": apart,
        "notes": out.notes,
    }
    return Task(str(aside), target, str(source.place.base), computed, module.bound(out)), facts


def _check_settings(settings: Settings, target: str, module: ModuleType) -> None:
    for one in fields(settings):
        if getattr(settings, one.name) is not None and one.name not in {*module.OPTIONS, *_ALWAYS}:
            option = f"--{one.name.replace('_', '-')}"
            has = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(module.OPTIONS)) or "none"
            raise ConfigError(f"The target '{target}' has no option {option}. Its own: {has}.")
    if settings.rows is not None and not settings.data:
        raise ConfigError("--rows says how many rows of a file are compared; name the file with --data.")
    for dtype in (settings.dtype, settings.compute):
        if dtype is not None and dtype not in DTYPES:
            raise ConfigError(f"Unknown dtype '{dtype}'. Known: {', '.join(DTYPES)}.")


def _check_recorded(source: Source, apart: float | None, now: tuple[str, str]) -> None:
    """Refuse a run that no longer computes what it computed when it was trained; `now`: dtype and kind of device.

    Raises:
        RoundTripError: its logits are others than the recorded ones.
    """
    exact = now[0] == "float32" and now == recorded_in(source.run)
    bound = EXACT if exact else ROUNDED
    if apart is not None and not apart <= bound:
        raise RoundTripError(
            f"The run '{source.name}' does not compute what it computed at the end of its training: the logits differ "
            f"by {apart:.3g} of the largest (bound {bound:.3g}). Its files or its base have changed since."
        )


def _place(source: Source, target: str, to: str | Path | None) -> Path:
    """Return where the export goes.

    Raises:
        ConfigError: there is something already, or no place is given for what is no run.
        MachineError: the place cannot be written.
    """
    if to is None and source.run is None:
        raise ConfigError(f"'{source.name}' is no run, so say where the export goes: --to FOLDER.")
    return free_place(to if to is not None else Path(str(source.run)) / "export" / target, "--to")


def _check_space(aside: Path, needed: int) -> None:
    free = shutil.disk_usage(aside).free
    if free < needed + 2**24:
        raise MachineError(
            f"No disk space for the export: about {needed / 2**20:,.0f} MiB are needed in '{aside.parent}', and "
            f"{free / 2**20:,.0f} MiB are free. Make room, or choose another folder with --to."
        )


@contextmanager
def _bar(console: Console) -> Iterator[tuple[Advance, Advance]]:
    """Show a bar of bytes, on a terminal alone; give what sets its length, and what moves it on."""
    columns = (TextColumn("Writing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("")
        yield lambda total: progress.update(task, total=total), lambda more: progress.advance(task, more)


def _files(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_size for file in sorted(folder.rglob("*")) if file.is_file()}
