"""Runs trainings that are killed: imports everything once, then forks a child for every attempt (not a test itself).

Usage: python kill_harness.py CONFIG.json KILLS SEED. Prints one JSON line: how the kills fell, and the digests of the
results of the uninterrupted and of the interrupted run.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

torch.set_num_threads(1)  # no thread pool in this process, so that a fork of it can compute

from tunesmith.training import callbacks, steps, trainer  # noqa: F401 - imported once for all children
from tunesmith.training.run import train


def fork_run(config: dict) -> int:
    """Start the training in a child and return its process id."""
    child = os.fork()
    if child:
        return child
    try:
        sys.stderr = open(os.devnull, "w") if "QUIET" in os.environ else sys.stderr  # noqa: SIM115
        train(config)
    except BaseException:  # noqa: BLE001 - a child must never go on in the parent's code
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def wait(child: int) -> int:
    """Return the exit status of a child; minus the signal if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def alive(child: int) -> bool:
    """Tell whether the child still runs, without reaping it."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def kill_while_saving(child: int, folder: Path, draw: random.Random) -> bool:
    """Kill the child as soon as a half-written checkpoint is seen (after some that may pass)."""
    passed = 0
    seen: set[str] = set()
    let_pass = draw.randint(0, 2)
    while alive(child):
        partial = [path.name for path in folder.glob("checkpoints/.*.partial")]
        for name in partial:
            if name not in seen:
                seen.add(name)
                passed += 1
        if partial and passed > let_pass:
            time.sleep(draw.uniform(0, 0.004))
            os.kill(child, signal.SIGKILL)
            return True
    return False


def kill_at_random(child: int, seconds: float, draw: random.Random) -> bool:
    """Kill the child at a random moment of the time that a run takes."""
    end = time.monotonic() + draw.uniform(0.05, seconds)
    while alive(child):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            return True
        time.sleep(0.002)
    return False


def digest(folder: Path) -> str:
    """Return the SHA-256 of the result's weights."""
    (file,) = [path for path in folder.glob("*/*.safetensors") if path.parent.name in ("adapter", "model")]
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main() -> None:
    """Run once in peace, then again and again with kills until the run is finished."""
    config, kills, draw = json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    output = Path(config["output"])
    began = time.monotonic()
    peace = wait(fork_run({**config, "output": str(output / "peace")}))
    seconds = time.monotonic() - began
    killed, while_saving, left_behind, failures = 0, 0, 0, []
    folder, number = output / "killed-0", 0
    digests = []
    while killed < kills and not failures:
        child = fork_run({**config, "output": str(folder)})
        aimed = draw.random() < 0.5
        hit = kill_while_saving(child, folder, draw) if aimed else kill_at_random(child, seconds, draw)
        status = wait(child)
        if hit and status == -signal.SIGKILL:
            killed += 1
            while_saving += aimed
            left_behind += bool(list(folder.glob("checkpoints/.*.partial")))
        elif status == 0:  # it ended before the kill: count it, and begin another run
            digests.append(digest(folder))
            number += 1
            folder = output / f"killed-{number}"
        else:
            failures.append(status)
    if not failures:
        last = wait(fork_run({**config, "output": str(folder)}))
        failures += [last] if last else []
        digests += [digest(folder)] if not last else []
    print(
        json.dumps(
            {
                "peace": peace,
                "expected": digest(output / "peace"),
                "digests": digests,
                "killed": killed,
                "while_saving": while_saving,
                "left_behind": left_behind,
                "failures": failures,
            }
        )
    )


if __name__ == "__main__":
    main()
