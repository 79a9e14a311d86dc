"""What the measurements share: the line that says where they were made, and their section of docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path

from tunesmith import __version__

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "benchmarks.md"
MINICPM_100M = {
    "vocab_size": 122753,
    "hidden_size": 512,
    "intermediate_size": 1280,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "scale_emb": 12,
    "scale_depth": 1.4,
    "dim_model_base": 256,
}
"""A MiniCPM of about 100 million parameters with MiniCPM-2B's vocabulary."""


def where(packages: Sequence[str], conditions: str, load: float, command: str) -> str:
    """Return date, machine, versions, conditions and command in one line; `load` is that before the start."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    machine = names[0] if names else platform.processor() or platform.machine()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return (
        f"{date.today()}; {machine}, {os.cpu_count()} cores, no GPU used; Python {platform.python_version()}, tunesmith "
        f"{__version__}, {versions}; {conditions}; load of the machine before the start {load:.1f}. Command: `{command}`."
    )


def peak_bytes() -> int:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write(name: str, lines: Sequence[str]) -> None:
    """Rewrite the section of a measurement (`bench/<name>.py`), or add it at the end."""
    begin, end = f"<!-- bench/{name}.py: begin -->", f"<!-- bench/{name}.py: end -->"
    before, _, rest = REPORT.read_text("utf-8").partition(begin)
    after = rest.partition(end)[2] if rest else "\n"
    REPORT.write_text(f"{before}{begin}\n" + "\n".join(lines) + f"{end}{after}", encoding="utf-8")
    print(f"written to {REPORT.relative_to(ROOT)}")
