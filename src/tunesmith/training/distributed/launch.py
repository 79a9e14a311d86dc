"""Starting the ranks of a run on this machine, and watching them: one that dies ends the run with its message.

Under a launcher (torchrun, accelerate, deepspeed: RANK and WORLD_SIZE are set) the ranks are there already.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ... import config as configuration
from ...errors import ConfigError, MachineError, PeerLostError, RunError, TunesmithError, UserError
from ...runs import RunFolder
from ..settings import DistributedSettings, TrainConfig
from .ranks import PEER_LOST, free_port

GRACE = 20.0
"""Seconds that the other ranks have after one has failed: to write down how they ended. Then they are killed."""
REPORT = "TUNESMITH_RANK_REPORT"
"""The environment variable with the file in which a rank that was started here writes how it ended."""
STOPPED = {128 + signal.SIGINT, 128 + signal.SIGTERM}
"""Exit codes of a rank that has saved and ended as it was told."""


@dataclass(frozen=True)
class Plan:
    """Which processes to start on this machine: `here` of `here * nodes`, those from `node_rank * here` on."""

    here: int
    nodes: int
    node_rank: int
    address: str
    port: int | None

    @property
    def world(self) -> int:
        """The number of all ranks, over all machines."""
        return self.here * self.nodes

    def environment(self, local: int, port: int) -> dict[str, str]:
        """Return what a launcher tells a rank, in torchrun's words."""
        told = {
            "RANK": self.node_rank * self.here + local,
            "LOCAL_RANK": local,
            "WORLD_SIZE": self.world,
            "LOCAL_WORLD_SIZE": self.here,
            "GROUP_RANK": self.node_rank,
            "MASTER_ADDR": self.address,
            "MASTER_PORT": port,
        }
        threads = {} if "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": max(1, _cores() // self.here)}
        return {name: str(value) for name, value in {**told, **threads}.items()}


def planned(config: TrainConfig) -> Plan | None:
    """Return which processes to start, or None where this one is all that is wanted, or is one of a launcher's.

    NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT in the environment count where the settings say nothing.

    Raises:
        MachineError: several machines, but no address.
    """
    settings = config.distributed
    if settings is None or "RANK" in os.environ:
        return None
    told = os.environ
    gpus = 0 if config.training.device == "cpu" else torch.cuda.device_count()
    here = settings.processes if isinstance(settings.processes, int) else max(1, gpus)
    nodes = settings.nodes if settings.nodes > 1 else int(told.get("NNODES", "1"))
    node_rank = settings.node_rank or int(told.get("NODE_RANK", "0"))
    address = settings.address or told.get("MASTER_ADDR")
    port = settings.port or (int(told["MASTER_PORT"]) if "MASTER_PORT" in told else None)
    if here * nodes == 1:
        return None
    if nodes > 1 and address is None:
        raise MachineError(
            "distributed.nodes: with several machines each must know the address of machine 0: set "
            "distributed.address (or MASTER_ADDR), and distributed.port where 29500 is taken."
        )
    return Plan(here, nodes, node_rank, address or "127.0.0.1", port or (29500 if nodes > 1 else None))


def under_accelerate(config: TrainConfig) -> TrainConfig:
    """Return the settings with what `accelerate launch` says of DeepSpeed or FSDP, which it puts into the environment.

    Raises:
        ConfigError: it asks for DeepSpeed without a file that says how.
    """
    how = {name: os.environ.pop(f"ACCELERATE_USE_{name}", "false").lower() == "true" for name in ("DEEPSPEED", "FSDP")}
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if config.distributed is not None and config.distributed.engine != "ddp" or not any(how.values()):
        return config
    if how["DEEPSPEED"] and file == "none":
        raise ConfigError(
            "accelerate launch asks for DeepSpeed without --deepspeed_config_file. Give one, or leave DeepSpeed to "
            "tunesmith: distributed.engine=deepspeed distributed.stage=2."
        )
    chosen = {"engine": "deepspeed", "config": file} if how["DEEPSPEED"] else {"engine": "fsdp"}
    return config.model_copy(update={"distributed": DistributedSettings.model_validate(chosen)})


def run_in_ranks(plan: Plan, config: TrainConfig) -> dict[str, Any]:
    """Run a training in the processes of a plan; return how it ended: state, step, loss, result, signal.

    Raises:
        TunesmithError: a rank has failed.
    """
    run = RunFolder(Path(config.output), writes=plan.node_rank == 0)
    with tempfile.TemporaryDirectory(prefix="tunesmith-config-") as folder:
        file = Path(folder) / "config.yaml"
        file.write_text(configuration.dump(config), encoding="utf-8")
        command = [sys.executable, "-m", "tunesmith.training.distributed.rank", str(file)]
        port = plan.port or free_port()
        if plan.nodes > 1:
            where = f"Machine {plan.node_rank} of {plan.nodes}: {plan.here} of {plan.world} ranks"
            Console(stderr=True).print(f"{where}; they meet at {plan.address}:{port}.", highlight=False, soft_wrap=True)
        try:
            said = run_ranks(plan, command, port)
        except RunError as error:
            status = run.status
            if status.get("state") in ("running", "verifying") or PEER_LOST in status.get("reason", ""):
                run.set_status("failed", step=status.get("step", 0), loss=status.get("loss"), reason=str(error))
            raise
    result = said.pop("result", None)
    return {**said, "result": Path(result) if result else None}


def run_ranks(plan: Plan, command: Sequence[str], port: int) -> dict[str, Any]:
    """Start the ranks of this machine with `command`, and wait for them; return what the first of them reports.

    SIGINT and SIGTERM are passed on to all of them.

    Raises:
        TunesmithError: one has failed; the message is its own, or says how it ended.
    """
    with tempfile.TemporaryDirectory(prefix="tunesmith-ranks-") as folder:
        ranks = [_Rank(plan, local, command, port, Path(folder) / f"{local}.json") for local in range(plan.here)]
        try:
            with _passing_on([rank.signal for rank in ranks]):
                _watch(ranks)
        finally:
            for rank in ranks:
                rank.end()
        return _outcome(ranks)


class _Rank:
    """One process. Rank 0 writes to the terminal; what the others write is kept until it is known to be the cause."""

    def __init__(self, plan: Plan, local: int, command: Sequence[str], port: int, report: Path) -> None:
        told = plan.environment(local, port)
        self.number, self.report, self.killed = int(told["RANK"]), report, False
        self.tail: deque[str] = deque(maxlen=60)
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **told, REPORT: str(report)},
            stdin=subprocess.PIPE,  # never written to: when this process is gone, its end says so
            stdout=None if self.number == 0 else subprocess.DEVNULL,
            stderr=None if self.number == 0 else subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches it once, through this process
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    @property
    def failed(self) -> bool:
        return self.code not in (None, 0) and self.code not in STOPPED

    def signal(self, number: int) -> None:
        if self.code is None:
            self._process.send_signal(number)

    def end(self) -> None:
        """Kill it if it runs, and take in what it has left to say."""
        if self.code is None:
            self.killed = True
            self._process.kill()
        self._process.wait()
        self._reader.join(timeout=5)
        assert self._process.stdin is not None
        self._process.stdin.close()

    def said(self) -> dict[str, Any]:
        """Return its report; empty where it left none."""
        return json.loads(self.report.read_text(encoding="utf-8")) if self.report.is_file() else {}

    def _read(self) -> None:
        if self._process.stderr is not None:
            with self._process.stderr as lines:
                self.tail.extend(line.decode("utf-8", "replace").rstrip() for line in lines)


def _watch(ranks: list[_Rank]) -> None:
    """Wait for all ranks; after the first failure only as long as GRACE."""
    until = None
    while any(rank.code is None for rank in ranks):
        if until is None and any(rank.failed for rank in ranks):
            until = time.monotonic() + GRACE
        if until is not None and time.monotonic() > until:
            return
        time.sleep(0.05)


def _outcome(ranks: list[_Rank]) -> dict[str, Any]:
    failed = [rank for rank in ranks if rank.failed and not rank.killed]
    if not failed:
        return ranks[0].said()
    lost = PeerLostError.__name__
    # first those who say what was wrong, then those who could not, then those who only lost another one
    cause = min(failed, key=lambda rank: (rank.said().get("kind") == lost, "message" not in rank.said(), rank.number))
    said, name = cause.said(), f"Rank {cause.number} of this run"
    if "message" in said:
        raise _error(said["exit_code"])(said["message"] if cause.number == 0 else f"{name}: {said['message']}")
    if cause.code is not None and cause.code < 0:
        how = signal.Signals(-cause.code).name
        why = " The system kills so when memory runs out." if how == "SIGKILL" else ""
        raise RunError(f"{name} was ended by {how}, so the others were ended too.{why} The last checkpoint is good.")
    told = "\n".join(cause.tail) or "Its message stands above."
    raise RunError(f"{name} ended with exit code {cause.code}, so the others were ended too.\n{told}")


def _error(exit_code: int) -> type[TunesmithError]:
    return UserError if exit_code == UserError.exit_code else RunError


@contextmanager
def _passing_on(receivers: list[Callable[[int], None]]) -> Iterator[None]:
    """Pass SIGINT and SIGTERM on for the time of a block (only possible in the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _: Any) -> None:
        for receive in receivers:
            receive(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def report(content: dict[str, Any]) -> None:
    """Write down how this rank has ended, for the process that started it; nothing under another launcher."""
    if file := os.environ.get(REPORT):
        Path(file).write_text(json.dumps(content), encoding="utf-8")


def report_error(error: BaseException) -> None:
    """Write down the error that this rank ends with, if it is one to be read by people."""
    if isinstance(error, TunesmithError):
        report({"kind": type(error).__name__, "message": str(error), "exit_code": error.exit_code})


def end_with_launcher() -> None:
    """In a rank that was started here: stop as by SIGTERM when the process that started it is gone."""
    if REPORT not in os.environ:
        return

    def watch() -> None:
        os.read(0, 1)  # ends with the other end of the pipe
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
