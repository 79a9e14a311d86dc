"""Worker processes: results in order, little waiting, and a clear end when one dies or fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tunesmith.data.workers import Workers, cores
from tunesmith.errors import RunError


# A worker imports its function by name: here they are Python's own.
def test_results_come_in_order() -> None:
    with Workers(str.upper, 2) as workers:
        assert list(workers.map(iter("abcdefgh"))) == list("ABCDEFGH")
        assert list(workers.map(iter("xy"))) == ["X", "Y"], "they can be used again"
        assert list(workers.map(iter(""))) == []


def test_arguments_are_taken_as_they_are_needed() -> None:
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield "a"

    with Workers(str.upper, 2) as workers:
        results = workers.map(texts())
        assert next(results) == "A"
        assert taken < 30


def test_large_arguments_and_results_do_not_block() -> None:
    with Workers(bytes.swapcase, 2) as workers:
        assert [len(result) for result in workers.map(iter([b"x" * 5_000_000] * 6))] == [5_000_000] * 6


def test_a_failure_brings_its_traceback() -> None:
    with Workers(int, 1) as workers, pytest.raises(RuntimeError, match=r"(?s)In a worker process.*ValueError.*'ten'"):
        list(workers.map(iter(["1", "ten"])))


def test_a_worker_that_dies_is_named() -> None:
    with Workers(os._exit, 2) as workers, pytest.raises(RunError, match="has died .*exit status 3.*out of memory"):
        list(workers.map(iter([3])))


def test_workers_end_with_the_process_that_started_them() -> None:
    code = (
        "import os, time; from tunesmith.data.workers import Workers\n"
        "workers = Workers(str.upper, 1); process = next(iter(workers._processes.values()))\n"
        "assert list(workers.map(iter('a'))) == ['A']; print(process.pid, flush=True); os._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for _ in range(100):
        try:
            os.kill(int(done.stdout), 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    os.kill(int(done.stdout), signal.SIGKILL)
    pytest.fail("the worker lives on")


def test_cores() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
