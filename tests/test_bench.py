"""The measurements under bench/ still run, and their sides compute the same (they end with an error if not)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_a_shared_prefix_gives_the_same_loss() -> None:
    options = ["--case", "nano-minicpm", "--rows", "2", "--repeats", "1", "--threads", "2", "--no-write"]
    command = [sys.executable, str(ROOT / "bench" / "prefix.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "shared prefix once" in done.stdout and "written to" not in done.stdout


def test_counted_bytes_are_those_of_real_steps() -> None:
    options = ["--model", "nano-minicpm", "--setting", "1x16", "--no-write"]
    command = [sys.executable, str(ROOT / "bench" / "memory.py"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("are those of a real step") == 7
    assert "1 x 16 tokens" in done.stdout and "written to" not in done.stdout


def test_the_profiled_sides_compute_the_same_loss() -> None:
    command = [sys.executable, str(ROOT / "bench" / "profiles.py"), "--size", "nano", "--threads", "1", "--no-write"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "matrices of the layers" in done.stdout and "written to" not in done.stdout
