"""START HERE: a bench from the command to its tables, JSON, page and picture."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import __version__, lookup
from ..errors import ConfigError, RunError
from ..runs import write_json
from . import report
from .figures import Failure, figures
from .lineup import OWN, PLAIN, Side
from .measure import Bench, Terms
from .models import SIZES
from .plot import draw
from .prepare import DATASETS
from .report import Compared
from .section import where, write

DEFAULT = (("pairs", "100m"), ("advert", "nano"), ("persona", "nano"), ("long", "nano"))
"""What is measured if nothing is asked for: the main case, and the other kinds of rows on the small model."""
PACKAGES = ("torch", "transformers", "peft", "accelerate")


@dataclass(frozen=True)
class Outputs:
    """Files to write, each only if it is given; `command`: how the command was called."""

    command: str
    json: Path | None = None
    page: Path | None = None
    plot: Path | None = None


def cases(datasets: Sequence[str] | None, sizes: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return the cases that are asked for: DEFAULT, or every data set with every size.

    Raises:
        ConfigError: no such data set, or no such size.
    """
    if not datasets and not sizes:
        return list(DEFAULT)
    known: dict[str, list[str]] = {"--dataset": lookup.names(DATASETS), "--size": list(SIZES)}
    asked = {"--dataset": list(datasets or known["--dataset"]), "--size": list(sizes or ["nano"])}
    for option, names in asked.items():
        for name in names:
            if name not in known[option]:
                close = lookup.nearest(name, known[option]) or "."
                raise ConfigError(f"{option} '{name}'{close} Known: {', '.join(known[option])}.")
    return [(dataset, size) for size in asked["--size"] for dataset in asked["--dataset"]]


def bench(
    wanted: Sequence[tuple[str, str]],
    sides: Sequence[Side],
    terms: Terms,
    outputs: Outputs,
    notes: Console,
    ladder: bool = False,
) -> list[Compared]:
    """Measure the cases on all sides and write what is asked for; `ladder`: the sides are the rungs of the ablation.

    Raises:
        MachineError: a case cannot be measured on this machine.
        RunError: plain or tunesmith failed, or tunesmith's loss is not that of the plain recipe.
    """
    load, made = os.getloadavg()[0], []
    screen, cores = Console(highlight=False), os.cpu_count() or 1
    if load > cores / 2:
        notes.print(
            f"The machine is busy (load {load:.1f}, {cores} cores): times by the clock say little; processor times hold."
        )
    with tempfile.TemporaryDirectory(prefix="tunesmith-bench-") as name, notes.status("Measuring ...") as status:

        def tell(text: str) -> None:
            status.update(text)
            if not notes.is_terminal:
                notes.print(text, markup=False, soft_wrap=True)

        for dataset, size in wanted:
            made.append(_compare(Bench(Path(name), terms, tell), (dataset, size), sides))
            title = f"{dataset} x {size}"
            screen.print(report.table(title, *_table(made[-1], ladder, spread=False)))
            for text in _said(made[-1], ladder):
                screen.print(text, markup=False, soft_wrap=not screen.is_terminal)
            if outputs.json is not None:  # after each case: what is done is kept when the rest is stopped
                write_json(outputs.json, _as_json(made, terms, outputs.command, load))
    _check(made)
    if outputs.plot is not None:
        draw(outputs.plot, made)
        notes.print(f"Wrote {outputs.plot}.", markup=False, soft_wrap=True)
    if outputs.page is not None:
        marker = report.LADDER_SECTION if ladder else report.SECTION
        write(outputs.page, marker, _page(made, terms, outputs, load, ladder))
        notes.print(f"Wrote {outputs.page}.", markup=False, soft_wrap=True)
    return made


def _compare(measuring: Bench, wanted: tuple[str, str], sides: Sequence[Side]) -> Compared:
    dataset, size = wanted
    case, models = measuring.prepare(dataset, size, measuring.terms.steps or SIZES[size].steps)
    results = measuring.compare(case, models, sides)
    return Compared(case, results, figures(case, sides, results))


def _table(compared: Compared, ladder: bool, spread: bool = True) -> tuple[Sequence[str], list[list[str]]]:
    if ladder:
        return report.STEPS_HEADER, report.ladder_cells(compared, spread)
    return report.HEADER, report.cells(compared, spread)


def _said(compared: Compared, ladder: bool) -> list[str]:
    return report.warnings(compared) + ([] if ladder else report.conclusions(compared))


def _check(made: Sequence[Compared]) -> None:
    """See that the comparison is one: plain and tunesmith got to the end, and none of our sides has another loss."""
    for compared in made:
        for one in compared.figures:
            where_it_was = f"{compared.case.name}: {one.side.name}"
            if one.reason and one.side.name in (PLAIN, OWN):
                said = [part for part in compared.results[one.side.name] if isinstance(part, Failure)]
                raise RunError("\n".join([f"{where_it_was} failed: {one.reason}", *(said[0].lines if said else ())]))
            if not one.reason and not one.same and one.side.package is None:
                raise RunError(
                    f"{where_it_was} has the mean loss {one.loss:.6f}, which is not that of the plain recipe over the "
                    "same rows. The sides did not do the same work; no page is written."
                )


def _as_json(made: Sequence[Compared], terms: Terms, command: str, load: float) -> dict[str, Any]:
    """Return all raw numbers: every step of every process."""
    return {
        "tunesmith": __version__,
        "command": command,
        "terms": asdict(terms),
        "load_before": load,
        "cases": [
            {
                "dataset": compared.case.dataset,
                "size": compared.case.size,
                "gpu": compared.case.gpu,
                "batch_size": compared.case.job.batch_size,
                "max_length": compared.case.job.max_length,
                "steps": compared.case.job.steps,
                "warm_steps": compared.case.warm,
                "tokens": compared.case.tokens,
                "labels": compared.case.labels,
                "sides": {name: [asdict(one) for one in found] for name, found in compared.results.items()},
                "mean_losses": {one.side.name: one.loss for one in compared.figures if not one.reason},
            }
            for compared in made
        ],
    }


def _page(made: Sequence[Compared], terms: Terms, outputs: Outputs, load: float, ladder: bool) -> list[str]:
    """Return the section of a Markdown page."""
    gpu = made[0].case.gpu
    kind = "bfloat16" if made[0].case.job.bf16 else "float32"
    peers = {
        f"{one.side.name} {one.versions.get(one.side.package, '')} (transformers {one.versions.get('transformers')})"
        for compared in made
        for one in compared.figures
        if one.side.package is not None and not one.reason
    }
    conditions = "; ".join([f"threads: {terms.threads}", kind, *sorted(peers)])
    title = "## Training, measure by measure" if ladder else "## Training beside the plain recipe and peers"
    lines = [title, "", where(PACKAGES, conditions, load, outputs.command, gpu), ""]
    lines += [report.RUNGS, ""] if ladder else []
    for compared in made:
        dataset = lookup.find(DATASETS, compared.case.dataset)
        lines += [f"### {compared.case.name}", "", report.about(compared, dataset.ABOUT, terms.repeats), ""]
        lines += [*report.markdown(*_table(compared, ladder)), ""]
        lines += [text for said in _said(compared, ladder) for text in (said, "")]
    if outputs.plot is not None and outputs.page is not None:
        place = os.path.relpath(outputs.plot, outputs.page.parent)
        lines += [f"![Speed and memory of each side, relative to the plain recipe]({place})", ""]
    return lines
