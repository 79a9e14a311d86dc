"""Ranks: the processes of a run, and how they agree. A run in one process is the case of one rank."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ...errors import MachineError, PeerLostError

T = TypeVar("T")
PATIENCE = timedelta(days=7)
"""How long a rank waits for another that lives: preparing data or writing a checkpoint may take hours. One that has
died is noticed at once, its connections being closed."""
PEER_LOST = "Another rank of this run has ended, so it cannot go on. What that rank says is why."
_LOST = re.compile(
    r"gloo.*(transport|rendezvous)|connection (was )?(closed|reset|refused)|socket|NCCL|ncclRemote", re.IGNORECASE
)


@dataclass(frozen=True)
class Ranks:
    """This process (`rank` of `world`, `local` on its machine) and `group`, over which all of them agree (gloo).

    `notes`: what was chosen for this machine and should be said.
    """

    rank: int = 0
    world: int = 1
    local: int = 0
    group: Any = None
    notes: tuple[str, ...] = ()

    @property
    def lead(self) -> bool:
        """Whether this process writes the run folder and talks to the user."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until every rank is here."""
        if self.group is not None:
            dist.barrier(self.group)

    def most(self, number: int) -> int:
        """Return the largest of all ranks' numbers."""
        if self.group is None:
            return number
        most = torch.tensor(number, dtype=torch.int64)
        dist.all_reduce(most, dist.ReduceOp.MAX, self.group)
        return int(most)

    def total(self, *numbers: float) -> list[float]:
        """Return the sums over the ranks, in float64."""
        sums = torch.tensor(numbers, dtype=torch.float64)
        if self.group is not None:
            dist.all_reduce(sums, group=self.group)
        return [float(one) for one in sums]

    def collect(self, tensor: Tensor) -> list[Tensor]:
        """Return every rank's tensor, all of one shape, in the order of the ranks."""
        if self.group is None:
            return [tensor]
        found = [torch.empty_like(tensor) for _ in range(self.world)]
        dist.all_gather(found, tensor.contiguous(), self.group)
        return found

    def tell(self, value: T | None) -> T:
        """Return what rank 0 says."""
        said: list[Any] = [value]
        if self.group is not None:
            dist.broadcast_object_list(said, src=0, group=self.group)
        answer: T = said[0]
        return answer

    @contextmanager
    def first(self) -> Iterator[None]:
        """Let the first rank of each machine run the block before the others: what it keeps on disk, they find."""
        if self.local:
            self.wait()
        yield
        if not self.local:
            self.wait()

    def explained(self, error: BaseException) -> BaseException:
        """Return the error, or in place of a broken connection to another rank what has happened."""
        if self.world > 1 and isinstance(error, RuntimeError) and _LOST.search(str(error)):
            return PeerLostError(PEER_LOST)
        return error


@contextmanager
def joined(needed: bool, keep: bool = False) -> Iterator[Ranks]:
    """Join the processes that a launcher has started (RANK, WORLD_SIZE, ...), for the time of a block.

    `needed`: whether a process group is wanted without a launcher too, of this process alone; `keep`: it stays for the
    next run of this program, which DeepSpeed needs. Where the program has joined already, it stays so afterwards.

    Raises:
        MachineError: rank 0 cannot be reached.
    """
    if "RANK" not in os.environ and not needed:
        yield Ranks()
        return
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    made = {} if "RANK" in os.environ else {**alone, "MASTER_PORT": str(free_port())}
    os.environ.update(made)
    own = not dist.is_initialized()
    try:
        yield _join()
        if own and not (made and keep):
            dist.destroy_process_group()  # not after an error: another rank may be gone, and this could wait for it
    finally:
        os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)  # accelerate leaves it behind, for whatever comes next
        for name in made:
            del os.environ[name]


def _join() -> Ranks:
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local = int(os.environ.get("LOCAL_RANK", "0"))
    backend, notes = "gloo", []
    if torch.cuda.is_available():
        torch.cuda.set_device(local % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
        notes = careful_with_rtx_40([torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())])
    try:
        if not dist.is_initialized():
            dist.init_process_group(backend, rank=rank, world_size=world, timeout=timedelta(minutes=30))
        group = dist.new_group(backend="gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:  # torch's errors of rendezvous and of the network are kinds of these
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise MachineError(
            f"Rank {rank} of {world} cannot join the others at {where}: {str(error).splitlines()[0]} Are all of them "
            "started, with one address and port, and is the port open between the machines?"
        ) from error
    return Ranks(rank, world, local, group, tuple(notes))


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def careful_with_rtx_40(names: list[str]) -> list[str]:
    """Switch off what RTX 40 cards lack, with which NCCL hangs or refuses to start; return what is to be said of it.

    names: those of the GPUs. What the environment says already stays. accelerate refuses to start without.
    """
    missing = [name for name in ("NCCL_P2P_DISABLE", "NCCL_IB_DISABLE") if name not in os.environ]
    if not missing or not any("RTX 40" in name for name in names):
        return []
    os.environ.update(dict.fromkeys(missing, "1"))
    return [f"RTX 40 cards cannot copy between each other: {' and '.join(f'{name}=1' for name in missing)} set."]
