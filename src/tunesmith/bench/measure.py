"""A case is measured: what all sides get is prepared once; then they take turns, each time in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import MachineError, RunError
from .figures import Case, Failure, Measured
from .job import Job
from .lineup import Side

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Terms:
    """How it is measured: repeats, threads of each process, device (auto, cpu, cuda)."""

    repeats: int
    threads: int
    device: str
    batch_size: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Bench:
    """Where measurements are made: a folder for all that they write, the terms, and who is told how far they are."""

    folder: Path
    terms: Terms
    tell: Callable[[str], None]

    def prepare(self, dataset: str, size: str, steps: int) -> tuple[Case, dict[str, Any]]:
        """Make models, records and rows of a case; return it, and the facts that jobs are made of.

        Raises:
            MachineError: the size cannot be measured here, or preparing failed; the message says why.
        """
        folder = self.folder / f"{dataset}-{size}"
        folder.mkdir()
        request = {
            "dataset": dataset,
            "size": size,
            "steps": steps,
            "device": self.terms.device,
            "batch_size": self.terms.batch_size,
            "folder": str(folder),
            "models": str(self.folder / size),
        }
        self.tell(f"{dataset} x {size}: preparing")
        file = folder / "request.json"
        file.write_text(json.dumps(request), encoding="utf-8")
        found = self._run(sys.executable, "prepare", file)
        if isinstance(found, Failure):
            raise MachineError(f"{dataset} x {size} could not be prepared: {found.reason}")
        job = Job(**found["job"])
        return Case(dataset, size, job, found["gpu"], found["tokens"]), found["models"]

    def compare(self, case: Case, models: dict[str, Any], sides: Sequence[Side]) -> dict[str, list[Measured | Failure]]:
        """Measure all sides in turns, another one first in each repeat; one that has failed is not tried again."""
        results: dict[str, list[Measured | Failure]] = {side.name: [] for side in sides}
        for repeat in range(self.terms.repeats):
            first = repeat % len(sides)
            for side in (*sides[first:], *sides[:first]):
                if any(isinstance(one, Failure) for one in results[side.name]):
                    continue
                self.tell(f"{case.name}, {repeat + 1} of {self.terms.repeats}: {side.name}")
                results[side.name].append(self._measure(case, models, side))
        return results

    def _measure(self, case: Case, models: dict[str, Any], side: Side) -> Measured | Failure:
        """Run one side once. What it wrote is removed afterwards."""
        folder = Path(case.job.rows).parent / "side"
        folder.mkdir()
        changes = {"side": side.file, "model": models[side.form], "order": side.order, "settings": dict(side.settings)}
        Job(**{**asdict(case.job), **changes, "output": str(folder / "run")}).write(folder / "job.json")
        found = self._run(side.python, "child", folder / "job.json")
        shutil.rmtree(folder)
        if isinstance(found, Failure):
            return found
        if sorted(found["order"]) != list(range(len(case.tokens))) or len(found["steps"]) != case.job.steps:
            raise RunError(f"{case.name}, {side.name}: other rows or steps than asked for; nothing can be compared.")
        return Measured(found["order"], found["steps"], found["peak"], found["versions"])

    def _run(self, python: str, module: str, file: Path) -> dict[str, Any] | Failure:
        """Run a module of this package in a Python that may have no tunesmith installed; return what it wrote."""
        link = self.folder / "path"
        if not link.exists():  # the package alone, not the folder it is installed in, with all that lies there
            link.mkdir()
            os.symlink(PACKAGE, link / PACKAGE.name)
        environment = {
            **os.environ,
            "PYTHONPATH": str(link),
            "OMP_NUM_THREADS": str(self.terms.threads),
            "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0],
            "TUNESMITH_CACHE": str(self.folder / "cache"),
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        command = [python, "-m", f"{PACKAGE.name}.bench.{module}", str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, errors="replace")
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            reason = lines[-1] if lines else "it ended without a word"
            if done.returncode < 0:
                reason = f"killed by signal {-done.returncode}: was there too little memory? Try a smaller --batch-size"
            return Failure(reason, lines[-40:])
        result: dict[str, Any] = json.loads(file.with_suffix(".result").read_text("utf-8"))
        return result
