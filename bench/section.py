"""What these measurements share: docs/benchmarks.md, and their sections of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tunesmith.bench import section
from tunesmith.bench.models import MINICPM_100M
from tunesmith.bench.section import peak_bytes, where

__all__ = ["MINICPM_100M", "REPORT", "ROOT", "peak_bytes", "where", "write"]
ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "benchmarks.md"


def write(name: str, lines: Sequence[str]) -> None:
    """Rewrite the section of a measurement (`bench/<name>.py`), or add it at the end."""
    section.write(REPORT, f"bench/{name}.py", lines)
    print(f"written to {REPORT.relative_to(ROOT)}")
