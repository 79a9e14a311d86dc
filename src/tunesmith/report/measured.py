"""Before and after on some records: loss, answers and how they behave, by the code of `tunesmith eval`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from rich.console import Console

from ..data.chat import RenderOptions
from ..errors import TunesmithError
from ..eval.desk import Outcome
from ..eval.lineup import Lineup
from ..eval.metrics import normalised
from ..eval.report import Line, lines_of
from ..eval.run import RESULTS, Plan, evaluate
from ..eval.source import Source
from ..generate.sampling import Sampling
from ..locate import locate
from . import KEPT, conduct, heldout
from .facts import Facts
from .heldout import Wanted

GENERAL, TEXT = "general.json", "text.json"
"""The fixed set that asks what was forgotten: short questions, and a text."""
NAMED = 5
"""How many records that were not asked are named."""


@dataclass(frozen=True)
class Measured:
    """Figures of the result and of the base, in this order; `rows` with the answers of both; or why there are none.

    `whole`: how many records there were to choose from.
    """

    lines: list[Line] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    whole: int = 0
    missing: str = ""

    def value(self, name: str, model: int) -> float | None:
        """Return a figure of the result (0) or of the base (1), if it was measured."""
        for line in self.lines:
            if line.measure.name == name and model < len(line.models):
                return line.models[model].value
        return None

    @property
    def count(self) -> int:
        """How many rows the figures are taken over."""
        return max((line.measure.count for line in self.lines), default=0)

    @property
    def changed(self) -> int:
        """How many answers are not those of the base, whatever case, punctuation and white space are."""
        pairs = [[normalised(one["answer"]) for one in row["models"]] for row in self.rows]
        return sum(after != before for after, before in pairs)


class Models:
    """Both models of a run: its result and the base that it began with, loaded once for all that is measured."""

    def __init__(self, facts: Facts, wanted: Wanted, console: Console) -> None:
        self.facts, self.wanted, self.console = facts, wanted, console
        self.lineup = Lineup(wanted.dtype, wanted.device)
        self.base_missing = ""
        try:
            locate(facts.config.model)
        except TunesmithError as error:
            self.base_missing = str(error)

    def held_out(self) -> Measured:
        """Measure the rows that the run held out, or those that somebody gives.

        Raises:
            DataError: the given files cannot be used.
        """
        if self.facts.result is None:
            return Measured(missing=self.no_result)
        if self.wanted.data:
            part = heldout.of_files(self.facts, self.wanted)
        else:
            try:
                part = heldout.of_run(self.facts, self.wanted.limit)
            except TunesmithError as error:
                return Measured(missing=str(error))
        return self._measured("held-out", part, part.whole)

    def forgotten(self) -> tuple[Measured, Measured]:
        """Measure the fixed set: general questions, and a text that nobody learned here."""
        if self.facts.result is None:
            return Measured(missing=self.no_result), Measured(missing=self.no_result)
        found = []
        for name in (GENERAL, TEXT):
            with resources.as_file(resources.files(__package__).joinpath(name)) as file:
                found.append(self._measured(name.partition(".")[0], Source([str(file)], RenderOptions())))
        return found[0], found[1]

    @property
    def no_result(self) -> str:
        """Why an unfinished run cannot be asked."""
        step = self.facts.status.get("step", 0)
        return f"The run has no result yet: its state is '{self.facts.state}', at step {step}."

    def _measured(self, name: str, source: Source, whole: int | None = None) -> Measured:
        sampling = Sampling(greedy=True, max_new_tokens=self.wanted.max_new_tokens)
        models = (str(self.facts.folder), *(() if self.base_missing else (self.facts.config.model,)))
        settings = {"sampling": sampling, "batch_size": 16}
        plan = Plan(models, source, self.lineup, settings=settings, output=self._folder(name))
        try:
            found = evaluate(plan, self.console)
        except TunesmithError as error:
            if name == "held-out" and self.wanted.data:
                raise
            return Measured(missing=str(error))
        rows = [row for row in found.content["rows"].get("answer", []) if "models" in row]
        notes = [*found.notes, *_left_out(source)]
        notes += [f"There is no 'before': {self.base_missing}"] if self.base_missing else []
        return Measured([*found.lines, *_conduct(rows)], rows, notes, len(rows) if whole is None else whole)

    def _folder(self, name: str) -> Path:
        """Return where the answers to some records are kept, each under what it is the answer to.

        The results of the last report are removed: they may be those of other records or settings.
        """
        folder = self.facts.folder / KEPT / name
        (folder / RESULTS).unlink(missing_ok=True)
        return folder


def _left_out(source: Source) -> Iterator[str]:
    """Name the records that were not asked."""
    bad = source.report.bad
    yield from (f"Not asked: {error}" for error in bad[:NAMED])
    if len(bad) > NAMED:
        yield f"Not asked: {len(bad) - NAMED} more."


def _conduct(rows: list[dict[str, Any]]) -> Iterator[Line]:
    """Return how the answers behave, as figures beside eval's."""
    if not rows:
        return iter(())
    results = [[row["models"][number] for row in rows] for number in range(len(rows[0]["models"]))]
    outcomes = [Outcome(rows, each, conduct.measures(rows, each), "same rows") for each in results]
    return iter(lines_of("answer", outcomes, seed=0))
