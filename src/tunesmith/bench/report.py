"""What was measured, as tables: on the terminal and in Markdown, from the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from rich.box import SIMPLE_HEAD
from rich.table import Table

from .figures import Case, Figures, Results, Spread, largest_step_difference, ratio
from .job import ALPHA, RANK
from .lineup import OWN, PLAIN
from .models import SIZES

HEADER = ("", "samples/s", "/ plain", "by CPU", "labels/s", "peak MiB", "/ plain", "mean loss")
STEPS_HEADER = (
    "",
    "seconds a step",
    "CPU seconds",
    "speed / plain",
    "by CPU",
    "peak MiB",
    "/ plain",
    "mean loss",
)
_FAILED = "failed"
SECTION, LADDER_SECTION = "tunesmith bench", "tunesmith bench --ablation"
"""Names of the sections of a Markdown page."""


@dataclass(frozen=True)
class Compared:
    """A case with its raw results and the figures of its sides."""

    case: Case
    results: Results
    figures: Sequence[Figures]

    def of(self, name: str) -> Figures | None:
        """Return the figures of a side; None if it was not measured."""
        return next((one for one in self.figures if one.side.name == name), None)


def about(compared: Compared, dataset_about: str, repeats: int) -> str:
    """Return what was measured, in words."""
    case = compared.case
    job, tokens = case.job, case.tokens
    counted = f"{job.steps} steps, the first {case.warm} not counted" if case.warm else f"{job.steps} steps"
    repeated = f"{repeats} repeats: median (least to most)" if repeats > 1 else "measured once"
    return (
        f"Model: {SIZES[case.size].about}. Rows: {dataset_about}. {len(tokens)} rows of {min(tokens)} to {max(tokens)} "
        f"tokens (mean {mean(tokens):.1f}), {mean(case.labels):.1f} of them labels; batches of {job.batch_size}; the plain "
        f"recipe pads to {job.max_length}. LoRA of rank {RANK}, alpha {ALPHA}, on all linear layers, AdamW. {counted}; "
        f"{repeated}. Ratios are those of medians, by the clock, and by the processor time of all threads (by CPU)."
    )


RUNGS = (
    "Each line that begins with + adds one measure to the line before: rows padded to the longest of their batch only; no "
    "logits of tokens without a label; rows of similar length in a batch; tokens that rows of a batch begin with computed "
    "once; an adapter and its layer in one step of the graph. The last + line is tunesmith's defaults; the lines below it "
    "change one setting of these."
)
"""What the lines of the ablation mean."""


def cells(compared: Compared, spread: bool = True) -> list[list[str]]:
    """Return a row of text for each side, as in HEADER; without `spread` the medians alone."""
    plain, rows = compared.of(PLAIN), []
    assert plain is not None  # it is always measured
    for one in compared.figures:
        found = [
            _text(one.samples, 2, spread),
            _ratio(one.samples, plain.samples),
            _ratio(plain.processor_step, one.processor_step),
            _text(one.labels, 1, spread),
            _text(one.peak, 0, spread),
            _ratio(one.peak, plain.peak),
            f"{one.loss:.5f}",
        ]
        rows.append([one.side.name, *([_FAILED] * len(found) if one.reason else found)])
    return rows


def ladder_cells(compared: Compared, spread: bool = True) -> list[list[str]]:
    """Return a row of text for each rung of the ablation, as in STEPS_HEADER; without `spread` the medians alone."""
    plain, rows = compared.figures[0], []
    for one in compared.figures:
        found = [
            _text(one.step, 2, spread),
            _text(one.processor_step, 2, spread),
            _ratio(plain.step, one.step),
            _ratio(plain.processor_step, one.processor_step),
            _text(one.peak, 0, spread),
            _ratio(one.peak, plain.peak),
            f"{one.loss:.5f}",
        ]
        rows.append([one.side.name, *([_FAILED] * len(found) if one.reason else found)])
    return rows


def _text(value: Spread | None, digits: int, spread: bool) -> str:
    if value is None:
        return ""
    return value.text(digits) if spread else f"{value.middle:,.{digits}f}"


def _ratio(one: Spread | None, other: Spread | None) -> str:
    value = ratio(one, other)
    return "" if value is None else f"{value:.2f}"


def warnings(compared: Compared) -> list[str]:
    """Return what is to be said of sides that failed, and of those that computed another loss."""
    said = [f"{one.side.name} failed: {one.reason}" for one in compared.figures if one.reason]
    for one in compared.figures:
        if not one.reason and not one.same:
            said.append(
                f"{one.side.name} has another mean loss than the plain recipe over the same rows: it does other work, so "
                "its figures are no measure."
            )
    return said


def conclusions(compared: Compared) -> list[str]:
    """Return what follows: how far steps of the same batches agree, and tunesmith beside plain and the best peer."""
    said, own, plain = [], compared.of(OWN), compared.of(PLAIN)
    apart = largest_step_difference(compared.results)
    if apart is not None:
        said.append(
            f"tunesmith and plain had the same rows in the same batches: loss and gradient norm of a step differ by at "
            f"most {apart:.1e} (relative)."
        )
    if own is None or plain is None or own.samples is None or plain.samples is None:
        return said
    said.append(f"tunesmith / plain: {_advantage(compared.case, own, plain)}")
    peers = [one for one in compared.figures if one.side.package is not None and one.samples is not None and one.same]
    if peers:
        best = max(peers, key=lambda one: one.samples.middle if one.samples is not None else 0.0)
        said.append(f"tunesmith / best peer ({best.side.name}): {_advantage(compared.case, own, best)}")
    return said


def _advantage(case: Case, own: Figures, other: Figures) -> str:
    """Return how much faster and smaller one side is; a GPU's work is not in the processor time."""
    processor = f" ({_ratio(other.processor_step, own.processor_step)} by processor time)" if not case.job.bf16 else ""
    faster, memory = _ratio(own.samples, other.samples), _ratio(own.peak, other.peak)
    return f"{faster} times the samples/s{processor}, {memory} of the peak memory."


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table for the terminal."""
    made = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for number, name in enumerate(header):
        made.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
