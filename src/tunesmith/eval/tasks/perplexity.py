"""Loss and perplexity: the mean over all label tokens of the rows, as training weighs them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ...data.pack import pack
from ...data.report import DataReport
from ...data.types import Example, Pack
from ...errors import RunError
from ...generate.decode import context_of
from ...models.load import Loaded
from ...models.segments import packing_of
from ..desk import Desk, Outcome
from ..likelihood import Likelihood, batches
from ..measure import Measure, exp_ratio, stack
from ..source import Source, vars_of


@dataclass(frozen=True)
class Config:
    """`tokens`: how many go through the model at once (a longer row goes alone)."""

    tokens: int = 4096


def run(loaded: Loaded, source: Source, config: Config, desk: Desk) -> Outcome:
    """Return the loss of every row; rows share a long one where the model keeps them apart, else batches.

    Raises:
        RunError: the loss of a row is not a number.
    """
    model = Likelihood(loaded)
    if source.options.max_length is None:
        source = source.cut_at(context_of(model.inner.config))
    rows = source.rows(model.chat, model.tokenizer, desk.reading)
    lengths = rows.lengths.tolist()
    notes = _said(rows.report)
    packing = packing_of(model.inner)
    longest = None if isinstance(packing, str) else packing.longest
    packs = None
    if not isinstance(packing, str) and packing.why_not(max(lengths), model.inner.device.type) is None:
        packs = pack(rows.lengths, max(config.tokens, *lengths))
        together = [packs.members(number).tolist() for number in range(len(packs))]
    else:
        together = list(batches(lengths, config.tokens, longest))
    with desk.journal(rows.fingerprint) as journal:
        for numbers in together:
            if not all(number in journal.known for number in numbers):
                examples = [rows[number] for number in numbers]
                found = model.logps(examples if packs is None else [Pack(tuple(examples))])
                losses = [{"loss": -float(one.sum()), "tokens": len(one)} for one in found]
                journal.add(dict(zip(numbers, losses, strict=True)))
            desk.progress(len(journal.known), len(rows))
        results = [journal.known[number] for number in range(len(rows))]
    places = [_place(rows[number]) for number in range(len(rows))]
    for place, result in zip(places, results, strict=True):
        if not math.isfinite(result["loss"]):
            raise RunError(
                f"{place['file']}, record {place['record']}: the loss is {result['loss']}. Is the model damaged? If it "
                "computes in float16, try --dtype bfloat16 or float32."
            )
    parts = stack(([result["loss"], result["tokens"]] for result in results), 2)
    measures = [
        Measure("loss", parts, about="mean cross entropy of a label token, in nats; lower is better"),
        Measure("perplexity", parts, exp_ratio, about="e to the loss; lower is better"),
    ]
    return Outcome(places, results, measures, rows.fingerprint, notes)


def _place(row: Example) -> dict[str, Any]:
    assert row.origin is not None  # every stored row has one
    return vars_of(row.origin)


def _said(report: DataReport) -> list[str]:
    """Return what was cut or left out, which must not go unsaid."""
    found = []
    if report.cut_rows:
        found.append(
            f"Perplexity: {report.cut_rows} rows are cut to the greatest length; {report.cut_label_tokens} of "
            f"{report.label_tokens + report.cut_label_tokens} label tokens do not count."
        )
    if unlearned := sum(file.unlearned for file in report.files):
        found.append(f"Perplexity: {unlearned} answers marked as bad ones do not count.")
    return found
