"""The report as one JSON object, written piece by piece so that a million bad records take no memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from .account import FileSum, Finding
from .advice import ADVICE
from .diagnosis import Diagnosis
from .lengths import Proposal


def as_json(diagnosis: Diagnosis) -> Iterator[str]:
    """Yield the pieces of the JSON text."""
    yield '{"files": ['
    for number, file in enumerate(diagnosis.files):
        yield ", " if number else ""
        yield from _file(file)
    rest = json.dumps(_facts(diagnosis), ensure_ascii=False)
    yield f"], {rest[1:]}\n"


def _file(file: FileSum) -> Iterator[str]:
    content: dict[str, Any] = {
        "path": file.path,
        "use": "validation" if file.validation else "training",
        "format": file.format if file.error is None else None,
        "records": file.records,
        "kept": file.kept,
        "unlearned": file.unlearned,
    }
    if file.error is not None:
        content["error"] = file.error
    yield json.dumps(content, ensure_ascii=False)[:-1] + ', "bad": ['
    for number, bad in enumerate(file.bad):
        one = {"index": bad.record, "line": bad.line, "field": bad.field, "reason": bad.reason, "mend": bad.mend}
        yield (", " if number else "") + json.dumps(one, ensure_ascii=False)
    yield "]}"


def _facts(diagnosis: Diagnosis) -> dict[str, Any]:
    """Return what is said of all files together."""
    lengths, model, tokens = diagnosis.lengths, diagnosis.model, diagnosis.account.tokens
    facts: dict[str, Any] = {
        "usable": diagnosis.usable,
        "records": diagnosis.records,
        "kept": diagnosis.kept,
        "languages": dict(diagnosis.languages),
        "different_answers": len(diagnosis.answers),
        "lengths": {"unit": lengths.unit, "total": lengths.total, "histogram": lengths.histogram()},
        "findings": [_finding(finding) for finding in diagnosis.findings],
    }
    if len(lengths.values):
        facts["lengths"] |= {"median": lengths.below(0.5), "p95": lengths.below(0.95), "longest": lengths.below(1)}
    if model is not None:
        facts["model"] = {"name": model.name, "max_length": model.max_length, "positions": model.positions}
        facts["tokens_per_epoch"] = tokens.tokens
        facts["label_tokens"] = tokens.all_labels
        facts["label_share"] = tokens.all_labels / max(tokens.tokens, 1)
        facts["byte_tokens"] = tokens.byte_tokens
        facts["proposed_max_length"] = _proposal(diagnosis.proposal)
    return facts


def _proposal(proposal: Proposal | None) -> dict[str, Any] | None:
    if proposal is None:
        return None
    return {
        "length": proposal.length,
        "cut_rows": proposal.cut_rows,
        "lost_label_tokens": proposal.lost,
        "cuts_nothing_from": proposal.whole,
        "limited_by_model": proposal.limited,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    advice = ADVICE[finding.kind]
    places = [{"path": p.path, "index": p.record, "line": p.line, "detail": p.detail} for p in finding.places]
    facts = {"kind": finding.kind, "level": advice.level, "records": finding.records, "times": finding.times}
    return {**facts, "what": advice.what, "mend": advice.mend, "places": places}
