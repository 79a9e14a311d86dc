"""Models shared out over two ranks: the losses of one rank, results that load, checkpoints that any other form resumes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.errors import ConfigError
from tunesmith.runs import RunFolder
from tunesmith.training import verify
from tunesmith.training.checkpoint import folder_name
from tunesmith.training.distributed import launch
from tunesmith.training.distributed.ranks import free_port
from tunesmith.training.run import train
from tunesmith.training.trainer import WEIGHTS

STEPS, SAVED = 8, 4
ZERO: dict[str, Any] = {"engine": "deepspeed"}
FORMS: dict[str, dict[str, Any]] = {
    "ddp": {"engine": "ddp"},
    "zero-1": {**ZERO, "stage": 1},
    "zero-2": ZERO,
    "zero-2-offload": {**ZERO, "offload": "optimizer"},
    "fsdp": {"engine": "fsdp"},
    "zero-3-offload": {**ZERO, "stage": 3, "offload": "all"},
}
FULL = ("ddp", "fsdp", "zero-3-offload")
GOES_ON = ("zero-2", "fsdp", "zero-3-offload")
"""Forms in which two ranks go on with a run of one."""


def config_of(base: dict[str, Any], output: Path, method: str, ranks: int, form: dict[str, Any]) -> dict[str, Any]:
    """A run of 8 steps of 4 rows over 13: each epoch's last step has one row, none for the second rank."""
    rate = 2e-3 if method == "lora" else 3e-4  # AdamW's first steps make much of rounding where gradients vanish
    # with weight decay there are two groups of parameters
    training = {
        "weight_decay": 0.1,
        "steps": STEPS,
        "save_steps": SAVED,
        "eval_steps": STEPS,
        "learning_rate": rate,
        "device": "cpu",
    }
    return {
        **base,
        "model": "nano-minicpm",
        "output": str(output),
        "tuning": {"method": "lora", "rank": 3} if method == "lora" else {"method": "full"},
        "training": {**base["training"], **training, "batch_size": 4 // ranks},
        **({"distributed": {"processes": ranks, **form}} if ranks > 1 else {}),
    }


def curve(run: Path) -> dict[str, list[float]]:
    """The logged losses, gradient norms and validation losses."""
    lines = RunFolder(run).metric_lines()
    return {key: [line[key] for line in lines if key in line] for key in ("loss", "grad_norm", "eval_loss")}


def cut_back(run: Path, to: Path) -> Path:
    """A copy of a finished run, as if it had been stopped after its first checkpoint."""
    shutil.copytree(run, to)
    shutil.rmtree(to / "checkpoints" / folder_name(STEPS))
    for result in ("adapter", "model"):
        shutil.rmtree(to / result, ignore_errors=True)
    RunFolder(to).set_status("interrupted", step=SAVED)
    return to


@pytest.fixture(scope="module")
def base(tiny_config: dict[str, Any], tiny_rows: Path) -> dict[str, Any]:
    rows = json.loads(tiny_rows.read_text(encoding="utf-8"))
    for name, part in {"train": rows[:13], "validation": rows[13:]}.items():
        (tiny_rows.with_name(f"{name}-13.json")).write_text(json.dumps(part, ensure_ascii=False), encoding="utf-8")
    files = {name: str(tiny_rows.with_name(f"{name}-13.json")) for name in ("train", "validation")}
    return {**tiny_config, "data": {**tiny_config["data"], **files}}


@pytest.fixture(scope="module")
def runs(base: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs: "lora" and "full" on one rank, "<method>-<form>" on two, "on-<form>" begun on one of them."""
    folder = tmp_path_factory.mktemp("runs")
    for method in ("lora", "full"):
        train(config_of(base, folder / method, method, 1, {}))
    jobs = [("lora", name) for name in FORMS] + [("full", name) for name in FULL]
    configs = [config_of(base, folder / f"{method}-{name}", method, 2, FORMS[name]) for method, name in jobs]
    for name in GOES_ON:
        cut_back(folder / "full", folder / f"on-{name}")
        configs.append(config_of(base, folder / f"on-{name}", "full", 2, FORMS[name]))
    (folder / "jobs.json").write_text(json.dumps(configs), encoding="utf-8")
    command = [sys.executable, str(Path(__file__).with_name("jobs.py")), str(folder / "jobs.json")]
    launch.run_ranks(launch.Plan(2, 1, 0, "127.0.0.1", None), command, free_port())
    return folder


def test_the_losses_are_those_of_one_rank(runs: Path) -> None:
    """Losses of every step to 1e-5, gradient norms to 1e-4; an epoch's last step has rows for one rank only."""
    for method, forms in {"lora": FORMS, "full": FULL}.items():
        expected = curve(runs / method)
        assert [len(values) for values in expected.values()] == [STEPS, STEPS, 2]
        assert min(expected["loss"]) < 0.7 * expected["loss"][0], "it learns, so a wrong form would show"
        for name in forms:
            found = curve(runs / f"{method}-{name}")
            for key, values in expected.items():
                limit = 1e-4 if key == "grad_norm" else 1e-5
                assert found[key] == pytest.approx(values, rel=limit), (method, name, key)


def test_what_was_trained_is_what_is_saved(runs: Path) -> None:
    for name in ("lora-ddp", "lora-zero-2", "lora-fsdp", "full-zero-3-offload"):
        report = verify.compare(runs / name)
        assert report["faults"] == [] and report["tensors"] > 10, name
        state = RunFolder(runs / name).status
        assert (state["state"], state["step"]) == ("finished", STEPS)


def test_checkpoints_are_the_same_in_every_form(runs: Path) -> None:
    for method, forms in {"lora": FORMS, "full": FULL}.items():
        for name in forms:
            ours, theirs = (runs / run / "checkpoints" / folder_name(SAVED) for run in (f"{method}-{name}", method))
            found, expected = load_file(ours / WEIGHTS), load_file(theirs / WEIGHTS)
            assert {n: (t.shape, t.dtype) for n, t in found.items()} == {
                n: (t.shape, t.dtype) for n, t in expected.items()
            }, name
            moments = [torch.load(one / "optimizer.pt", weights_only=True) for one in (ours, theirs)]
            assert [group["params"] for group in moments[0]["param_groups"]] == [
                group["params"] for group in moments[1]["param_groups"]
            ]
            for number, values in moments[1]["state"].items():
                for key, value in values.items():
                    limit = 1e-3 * float(value.abs().max())
                    assert torch.allclose(moments[0]["state"][number][key], value, rtol=0, atol=limit), (name, key)


def test_two_ranks_go_on_with_a_run_of_one(runs: Path) -> None:
    for name in GOES_ON:
        assert curve(runs / f"on-{name}")["loss"] == pytest.approx(curve(runs / "full")["loss"], rel=1e-5), name


@pytest.mark.parametrize("name", ["lora-ddp", "lora-zero-2", "lora-fsdp", "full-zero-3-offload"])
def test_one_rank_goes_on_with_a_run_of_two(name: str, runs: Path, base: dict[str, Any], tmp_path: Path) -> None:
    method = name.partition("-")[0]
    run = cut_back(runs / name, tmp_path / "run")
    with pytest.raises(ConfigError, match="a step had 4 rows, now 2"):
        train({**(wrong := config_of(base, run, method, 1, {})), "training": {**wrong["training"], "batch_size": 2}})
    assert train(config_of(base, run, method, 1, {})).step == STEPS
    assert curve(run)["loss"] == pytest.approx(curve(runs / method)["loss"], rel=1e-5)
