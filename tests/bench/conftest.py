"""A small prepared case: four pairs, two steps, the bundled model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunesmith.bench.figures import Case, Measured
from tunesmith.bench.job import Job
from tunesmith.bench.prepare import prepare


@pytest.fixture(scope="session")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What preparing pairs x nano returns."""
    folder = tmp_path_factory.mktemp("prepared")
    request = {"dataset": "pairs", "size": "nano", "device": "cpu", "batch_size": 3, "steps": 2}
    return prepare({**request, "folder": str(folder), "models": str(folder / "nano")})


@pytest.fixture
def job(facts: dict[str, Any], tmp_path: Path) -> Job:
    """A job for tunesmith on the prepared case, with an output of its own."""
    return replace(Job(**facts["job"]), output=str(tmp_path / "run"))


@pytest.fixture
def case(facts: dict[str, Any]) -> Case:
    """The prepared case."""
    return Case("pairs", "nano", Job(**facts["job"]), facts["gpu"], facts["tokens"])


def measured(case: Case, seconds: float, loss: float = 2.0, peak: int = 2**20) -> Measured:
    """Return a made-up measurement: every step takes as long, half of it on the processor."""
    step = {"seconds": seconds, "processor_seconds": seconds / 2, "loss": loss, "gradient_norm": 1.0}
    return Measured(list(range(len(case.tokens))), [dict(step) for _ in range(case.job.steps)], peak, {"torch": "2"})
