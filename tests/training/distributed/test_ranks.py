"""Ranks: a run in one process, what two of them agree on, and the machine they run on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from tunesmith.errors import MachineError, PeerLostError
from tunesmith.training.distributed import ranks
from tunesmith.training.distributed.ranks import PEER_LOST, Ranks, careful_with_rtx_40, free_port, joined

TOGETHER = """
import sys, torch
from tunesmith.training.distributed.ranks import joined
with joined(False) as ranks:
    with ranks.first():
        order = "first" if not ranks.local else "second"
        found = __import__("os").path.exists(sys.argv[1])
        open(sys.argv[1], "a").write(order)
    collected = ranks.collect(torch.tensor([ranks.rank, 7]))
    told = ranks.tell({"from": ranks.rank} if ranks.lead else None)
    print(found, ranks.most(ranks.rank + 3), ranks.total(ranks.rank, 0.5), torch.stack(collected).tolist(), told)
"""


def test_one_process_agrees_with_itself() -> None:
    alone = Ranks()
    assert alone.lead and alone.most(3) == 3 and alone.total(1, 2.5) == [1.0, 2.5] and alone.tell("x") == "x"
    assert torch.equal(alone.collect(torch.ones(2))[0], torch.ones(2))
    alone.wait()
    with alone.first():
        pass


def test_two_agree(tmp_path: Path) -> None:
    told = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TOGETHER, str(tmp_path / "file")],
            env={**os.environ, **told, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=120)[0].strip() for process in both]
    same = "4 [1.0, 1.0] [[0, 7], [1, 7]] {'from': 0}"
    assert said == [f"False {same}", f"True {same}"]
    assert (tmp_path / "file").read_text() == "firstsecond"


def test_a_process_group_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with joined(False) as alone:
        assert alone.group is None and not dist.is_initialized()
    with joined(True) as alone:
        assert dist.is_initialized() and (alone.world, alone.most(5)) == (1, 5) and os.environ["WORLD_SIZE"] == "1"
    assert not dist.is_initialized() and "WORLD_SIZE" not in os.environ


def test_others_that_do_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise dist.DistNetworkError("The client socket has timed out.")

    monkeypatch.setattr(ranks.dist, "init_process_group", refuse)
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.1.1.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    with (
        pytest.raises(MachineError, match=r"Rank 1 of 2 cannot join the others at 10.1.1.1:29500: The client"),
        joined(False),
    ):
        pass


def test_a_broken_connection_is_explained() -> None:
    text = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:3577"
    both = Ranks(rank=0, world=2)
    told = both.explained(RuntimeError(text))
    assert isinstance(told, PeerLostError) and str(told) == PEER_LOST
    other = RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert both.explained(other) is other
    alone = RuntimeError(text)
    assert Ranks().explained(alone) is alone


def test_rtx_40_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NCCL_P2P_DISABLE", "NCCL_IB_DISABLE"):
        monkeypatch.setenv(name, "x")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    assert careful_with_rtx_40(["NVIDIA GeForce RTX 3090", "NVIDIA A100"]) == []
    monkeypatch.setenv("NCCL_IB_DISABLE", "0")
    (said,) = careful_with_rtx_40(["NVIDIA GeForce RTX 4090", "NVIDIA GeForce RTX 4090"])
    assert "NCCL_P2P_DISABLE=1 set" in said and os.environ["NCCL_P2P_DISABLE"] == "1"
    assert os.environ["NCCL_IB_DISABLE"] == "0", "what is set stays"
