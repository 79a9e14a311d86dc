"""Batches for the trainer: processes that make them ahead, and how long the steps have waited for them."""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

import torch
from torch.utils.data import DataLoader

from ..data.collate import Collator
from ..data.order import Deal

T = TypeVar("T")
MOST_WORKERS = 4
"""Processes that "auto" starts for one rank, at most."""
GRACE = 60
"""Seconds that a process goes on after SIGTERM."""
AHEAD = 2
"""Batches that each process makes ahead, beside those of one optimiser step."""


class EpochLoader(DataLoader[Any]):
    """A DataLoader that tells its sampler which epoch it is."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration is for. A stream counts by itself."""
        if isinstance(self.batch_sampler, Deal):
            self.batch_sampler.set_epoch(epoch)


class Waits:
    """Counts the seconds that are spent waiting for batches."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def watching(self, batches: Iterator[T]) -> Iterator[T]:
        """Yield the batches, and count how long each let wait."""
        while True:
            began = time.perf_counter()
            try:
                batch = next(batches)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - began
            yield batch


def worker_count(
    asked: int | Literal["auto"], collator: Collator, device: torch.device, local_ranks: int, stream: bool
) -> int:
    """Return how many processes make the batches of this rank.

    "auto": none, where rows are token ids on disk, whose batches take less than a hundredth of a step; on a CPU too,
    whose cores are busy with the step itself. Some, where pictures are opened while a GPU trains. A stream has
    processes of its own, and each of these would give all its rows.
    """
    if asked != "auto":
        return asked
    if collator.loader is None or device.type == "cpu" or stream:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_WORKERS, cores // local_ranks - 1))


def loader_options(workers: int, step_batches: int, pinned: bool) -> dict[str, Any]:
    """Return a DataLoader's options, for `workers` processes and optimiser steps of `step_batches` batches.

    Its draws come from a generator of its own, so that the number of processes does not change what a model draws.
    On Linux processes are forked, as torch does: a fresh one would run the user's script again. They do not use the
    GPU, and torch computes in them without threads.
    """
    options: dict[str, Any] = {"num_workers": workers, "pin_memory": pinned, "generator": torch.Generator()}
    if workers:
        # from 3.12 on Python warns of any fork beside threads
        warnings.filterwarnings("ignore", r".*multi-threaded, use of fork\(\)", DeprecationWarning)
        options["worker_init_fn"] = patient
        options["multiprocessing_context"] = "fork" if sys.platform == "linux" else None
        options["persistent_workers"] = True
        options["prefetch_factor"] = AHEAD + step_batches // workers
    return options


def patient(_: int) -> None:
    """Let a worker process ignore SIGINT, and live on for GRACE seconds after SIGTERM.

    Both often go to all processes of a run. The trainer obeys them at the next optimiser step, and needs batches until
    then; when it has ended, whatever the cause, torch's workers end by themselves.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, _end_later)


def _end_later(*_: Any) -> None:
    signal.alarm(GRACE)
