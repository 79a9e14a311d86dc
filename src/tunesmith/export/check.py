"""The hand-over check: a clean process reads what was exported, and must compute what the run computes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from .. import lookup
from ..errors import RoundTripError
from ..runs import read_json
from .expected import FACTS, TENSORS, answer_of, inputs_of, logits_of, relative
from .readers import Reading
from .source import Task

TARGETS = f"{__package__}.targets"


def check_in_clean_process(task: Task, expected: Path) -> dict[str, Any]:
    """Let a new Python read the export and compare it with `expected`; return its report.

    Raises:
        RoundTripError: it cannot read it, or it is not what the run computes.
    """
    command = [sys.executable, "-m", f"{__package__}.check", json.dumps(asdict(task)), str(expected)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"by"')]
    if not lines:
        raise RoundTripError(f"The export cannot be read by a clean process:\n{done.stderr.strip()[-2000:]}")
    return judged(json.loads(lines[-1]))


def judged(report: dict[str, Any]) -> dict[str, Any]:
    """Return what `compare` has found.

    Raises:
        RoundTripError: it found faults.
    """
    if report["faults"]:
        raise RoundTripError(
            f"The export is not what the run computes ({report['by']}): {'; '.join(report['faults'][:5])}. Nothing is "
            "left of it. Please report this."
        )
    return report


def compare(task: Task, expected: Path) -> dict[str, Any]:
    """Read the export and compare it with what is expected; return faults and figures."""
    facts, stored = read_json(expected / FACTS), load_file(expected / TENSORS)
    target = lookup.find(TARGETS, task.target)
    report = _compared(target.read(task, facts["device"]), task.bound, facts, stored)
    program = target.read_by_program(task) if hasattr(target, "read_by_program") else None
    if program is not None:
        report["program"] = second = _compared(program, task.bound, facts, stored)
        report["faults"] += [f"{second['by']}: {fault}" for fault in second.pop("faults")]
    return report


def _compared(reading: Reading, bound: float, facts: dict[str, Any], stored: dict[str, Tensor]) -> dict[str, Any]:
    """Return what one reader makes of the export; a row's logits are those of its last positions that were stored."""
    device = facts["device"]
    faults, relatives, largest = _token_faults(reading, facts), [0.0], 0.0
    for number in range(facts["rows"]):
        wanted = stored[f"{number}.logits"]
        found = logits_of(reading.model, inputs_of(stored, number), device)[-len(wanted) :]
        relatives.append(apart := relative(found, wanted))
        if not apart <= bound:
            faults.append(f"the logits of row {number} differ by {apart:.3g} of the largest (bound {bound:.3g})")
        if found.shape == wanted.shape:
            largest = max(largest, float((found - wanted).abs().max()))
    asked = zip(facts["questions"], facts["answers"], strict=True)
    changed = sum(answer_of(reading.model, ids, device) != answer for ids, answer in asked)
    return {
        "by": reading.by,
        "faults": faults,
        "rows": facts["rows"],
        "own_rows": facts["own_rows"],
        "max_logit_difference": largest,
        "relative_difference": max(relatives),
        "bound": bound,
        "answers": len(facts["answers"]),
        "changed_answers": changed,
    }


def _token_faults(reading: Reading, facts: dict[str, Any]) -> list[str]:
    """Name what the reader makes of texts and of the chat template, where that is not what the run makes of them."""
    faults = [
        f"the text {text[:40]!r} becomes other tokens"
        for text, ids in facts["texts"].items()
        if reading.encode(text) != ids
    ]
    if reading.chat_template != facts["chat_template"]:
        faults.append("it has another chat template")
    return faults


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    print(json.dumps(compare(Task(**json.loads(sys.argv[1])), Path(sys.argv[2]))), flush=True)
