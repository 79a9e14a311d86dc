"""What sums the loss: the one asked for, checked before it is used; what is not to be had is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tunesmith.errors import ConfigError, MachineError
from tunesmith.models.family import Head
from tunesmith.ops.matrix_loss import Matrix, chunked_sum, torch_sum
from tunesmith.training import loss_choice as module
from tunesmith.training.arguments import Precision
from tunesmith.training.loss_choice import choose_sum
from tunesmith.training.run import train

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FP32 = Precision(torch.float32, torch.float32, "")
BF16 = Precision(torch.bfloat16, torch.bfloat16, "")
HEAD = Head(nn.Linear(8, 50, bias=False), divisor=2.0)
NEW_TORCH = pytest.mark.skipif(not hasattr(nn.functional, "linear_cross_entropy"), reason="torch before 2.13")


def test_ours_is_the_usual_one() -> None:
    assert choose_sum("auto", HEAD, CPU, FP32) == choose_sum("chunked", None, CUDA, BF16) == (chunked_sum, None)


@NEW_TORCH
@pytest.mark.parametrize("bias", [False, True])
def test_torchs_own(bias: bool) -> None:
    summed, said = choose_sum("torch", Head(nn.Linear(8, 50, bias=bias)), CPU, FP32)
    assert summed is torch_sum and said is not None and "torch's linear_cross_entropy; it differs" in said


@pytest.mark.parametrize(
    ("name", "head", "device", "precision", "wanted"),
    [
        ("torch", None, CPU, FP32, "needs an output head that is one matrix"),
        ("liger", Head(HEAD.module, softcap=30.0), CUDA, BF16, "needs an output head that is one matrix"),
        ("torch", HEAD, CPU, BF16, "three digits"),
        ("liger", HEAD, CPU, FP32, "a kernel for CUDA, and this run is on the CPU"),
    ],
)
def test_what_does_not_go(name: str, head: Head | None, device: torch.device, precision: Any, wanted: str) -> None:
    if wanted == "three digits" and not hasattr(nn.functional, "linear_cross_entropy"):
        wanted = "needs torch 2.13"
    with pytest.raises((ConfigError, MachineError), match=wanted):
        choose_sum(name, head, device, precision)


def test_older_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(nn.functional, "linear_cross_entropy", raising=False)
    with pytest.raises(MachineError, match="needs torch 2.13; this is"):
        choose_sum("torch", HEAD, CPU, FP32)


def test_liger_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise MachineError("liger-kernel is not installed; pip install 'tunesmith[liger]' brings it")

    monkeypatch.setattr(module, "load_fused", missing)
    with pytest.raises(MachineError, match=r"training.loss=liger: liger-kernel is not installed.*Or take auto"):
        choose_sum("liger", HEAD, CUDA, BF16)


@NEW_TORCH
@pytest.mark.parametrize("fault", ["loss", "weights", "gradient", "not a number"])
def test_code_that_computes_something_else_is_not_used(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(hidden: Tensor, labels: Tensor, weights: Tensor | None, matrix: Matrix) -> Tensor:
        if fault == "weights":
            weights = None
        if fault == "gradient":
            matrix = Matrix(matrix.weight_VD.detach() + 0 * matrix.weight_VD, matrix.bias_V, matrix.scale)
        factor = {"loss": 1.001, "not a number": float("nan")}.get(fault, 1.0)
        return torch_sum(hidden, labels, weights, matrix) * factor

    monkeypatch.setattr(module, "torch_sum", wrong)
    with pytest.raises(MachineError, match="differs from the plain form here"):
        choose_sum("torch", HEAD, CPU, FP32)


@NEW_TORCH
def test_a_run_learns_the_same(tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    losses = []
    for name in ("auto", "torch"):
        training = {**tiny_config["training"], "steps": 3, "loss": name}
        train({**tiny_config, "output": str(tmp_path / name), "training": training})
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        losses.append([line["loss"] for line in map(json.loads, lines) if "loss" in line])
    assert "Loss: torch's linear_cross_entropy" in capfd.readouterr().err
    assert len(losses[0]) == 3 and losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_preferences_need_each_loss(tiny_config: dict, tmp_path: Path) -> None:
    config = {**tiny_config, "objective": "dpo", "output": str(tmp_path), "training": {"loss": "torch"}}
    with pytest.raises(ConfigError, match="training.loss=torch sums a loss; objective dpo needs each"):
        train(config)
