"""A measurement on a page: the line that says where it was made, and its section of a Markdown file."""

from __future__ import annotations

import os
import platform
import resource
import sys
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path

from .. import __version__
from ..runs import replacing


def where(packages: Sequence[str], conditions: str, load: float, command: str, gpu: str = "no GPU used") -> str:
    """Return date, machine, versions, conditions and command in one line; `load` is that before the start."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    machine = names[0] if names else platform.processor() or platform.machine()
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in packages)
    return (
        f"{date.today()}; {machine}, {os.cpu_count()} cores, {gpu}; Python {platform.python_version()}, tunesmith "
        f"{__version__}, {versions}; {conditions}; load of the machine before the start {load:.1f}. Command: `{command}`."
    )


def peak_bytes() -> int:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def write(page: Path, marker: str, lines: Sequence[str]) -> None:
    """Rewrite the section of a measurement in a file, between two comments with its name, or add it at the end."""
    begin, end = f"<!-- {marker}: begin -->", f"<!-- {marker}: end -->"
    text = page.read_text("utf-8") if page.is_file() else ""
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2] if rest else "\n"
    with replacing(page) as stream:
        stream.write(f"{before}{begin}\n" + "\n".join(lines) + f"{end}{after}")
