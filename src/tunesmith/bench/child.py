"""python -m tunesmith.bench.child JOB: one measurement in a process of its own; the result is written beside the job.

It starts in the Python of a peer too, where tunesmith's own requirements may be missing.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module, metadata
from pathlib import Path

from ..errors import TunesmithError
from .job import Job
from .section import peak_bytes

PACKAGES = ("torch", "transformers", "peft", "accelerate", "trl", "llamafactory")


def measure(job: Job) -> dict[str, object]:
    """Train as the job says; return its steps, the order of its rows, peak memory and versions.

    The peak is what the GPU had allocated, else the resident size of the process, libraries included.
    """
    order, steps = import_module(f".sides.{job.side}", __package__).train(job)
    peak = peak_bytes()
    if job.device != "cpu":
        import torch

        peak = torch.cuda.max_memory_allocated()
    installed = {name: _version(name) for name in PACKAGES}
    versions = {name: version for name, version in installed.items() if version is not None}
    return {"order": order, "steps": steps, "peak": peak, "versions": versions}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Run the job that the command line names."""
    path = Path(sys.argv[1])
    job = Job.read(path)
    try:
        found = measure(job)
    except TunesmithError as error:
        sys.exit(str(error))
    path.with_suffix(".result").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
