"""The optimisers: each learns and resumes to the same bits; groups, kinds of parameters, and several as one."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tunesmith.models.load import load
from tunesmith.training import optimizers
from tunesmith.training.objective import Objective
from tunesmith.training.optimizers import Joined, Learner, build, groups, learners
from tunesmith.training.run import train
from tunesmith.training.settings import TrainConfig

NAMES = sorted(optimizers.BUILDERS)


def settings(tuning: Any = "full", **training: Any) -> TrainConfig:
    """A config with these training settings."""
    data = {"train": "t.json"}
    return TrainConfig.model_validate(
        {"model": "m", "output": "o", "data": data, "tuning": tuning, "training": training}
    )


def learning(folder: Path) -> tuple[Objective, list[Learner]]:
    """The tiny model as an objective, and what learns; all with weight decay 0.1 and the learning rate 0.01."""
    loaded = load(folder, dtype=torch.float32, device="cpu")
    objective = Objective(loaded.model, loaded.family)
    names = [name for name, _ in objective.named_parameters()]
    return objective, learners(objective, dict.fromkeys(names, 0.1), dict.fromkeys(names, 0.01))


def backward(objective: Objective, step: int) -> float:
    """Compute the gradients of a step and return the loss."""
    ids = torch.randint(3, 500, (2, 12), generator=torch.Generator().manual_seed(step))
    objective.zero_grad()
    loss = objective(ids, torch.ones_like(ids), ids) / ids.numel()
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("name", NAMES)
def test_it_learns_and_its_state_can_be_put_back(name: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    """After its state went through a file, another optimiser over a copy of the weights does the same steps."""
    objective, found = learning(tiny_model_folder)
    optimizer = build(settings(optimizer=name), found)
    losses = []
    for _ in range(6):
        losses.append(backward(objective, 0))
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")
    other, found = learning(tiny_model_folder)
    other.load_state_dict(objective.state_dict())
    again = build(settings(optimizer=name), [one._replace(rate=1.0) for one in found])
    again.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    for step in range(3):
        for model, one in ((objective, optimizer), (other, again)):
            backward(model, step)
            one.step()
    assert all(a.equal(b) for a, b in zip(objective.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "muon"])
def test_a_run_learns_and_resumes_to_the_same_bits(name: str, tiny_config: dict, tmp_path: Path) -> None:
    training = {**tiny_config["training"], "optimizer": name, "learning_rate": 1e-2}
    config = {**tiny_config, "tuning": "full", "training": training}
    train({**config, "output": str(tmp_path / "whole")})
    lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    losses = [line["loss"] for line in map(json.loads, lines) if "loss" in line]
    assert losses[-1] < 0.9 * losses[0]
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "model")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "checkpoint-8")
    (tmp_path / "killed" / "status.json").write_text(json.dumps({"state": "running", "step": 7}))
    assert train({**config, "output": str(tmp_path / "killed")}).state == "finished"
    one, two = (load_file(tmp_path / run / "model" / "model.safetensors") for run in ("whole", "killed"))
    assert all(two[name].equal(tensor) for name, tensor in one.items())


@pytest.mark.parametrize(
    ("rounding", "optimizer"), [("kahan", "adamw"), ("stochastic", "adamw"), ("stochastic", "adamw_8bit")]
)
def test_a_run_in_bfloat16_is_verified_and_resumes(
    rounding: str, optimizer: str, tiny_config: dict, tmp_path: Path
) -> None:
    training = {**tiny_config["training"], "learning_rate": 2e-3, "steps": 4, "verify": rounding == "kahan"}
    training["optimizer"] = optimizer
    config = {**tiny_config, "tuning": {"method": "full", "master_weights": rounding}, "training": training}
    train({**config, "output": str(tmp_path / "whole")})
    stored = load_file(tmp_path / "whole" / "model" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    status = json.loads((tmp_path / "whole" / "status.json").read_text())
    assert status["verified"] is (rounding == "kahan") and status.get("max_logit_difference", 0) == 0
    shutil.copytree(tmp_path / "whole", tmp_path / "killed")
    shutil.rmtree(tmp_path / "killed" / "model")
    shutil.rmtree(tmp_path / "killed" / "checkpoints" / "checkpoint-4")
    (tmp_path / "killed" / "status.json").write_text(json.dumps({"state": "running", "step": 3}))
    train({**config, "output": str(tmp_path / "killed")})
    again = load_file(tmp_path / "killed" / "model" / "model.safetensors")
    assert all(again[name].equal(tensor) for name, tensor in stored.items())


def test_kinds_of_parameters(tiny_model_folder: Path) -> None:
    objective, found = learning(tiny_model_folder)
    names = {id(parameter): name.rpartition("model.")[2] for name, parameter in objective.named_parameters()}
    kinds: dict[str, set[str]] = {}
    for one in found:
        kinds.setdefault(one.kind, set()).add(names[id(one.parameter)].rsplit(".", 2)[-2])
    assert kinds["table"] <= {"embed_tokens", "lm_head"} and "embed_tokens" in kinds["table"]
    assert kinds["matrix"] == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert kinds["other"] == {"input_layernorm", "post_attention_layernorm", "norm"}


def test_groups_by_decay_and_rate() -> None:
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(4)]
    rates = [(0.1, 1e-3), (0.0, 1e-3), (0.1, 1e-3), (0.1, 16e-3)]
    made = groups([Learner(w, decay, rate, "other") for w, (decay, rate) in zip(weights, rates, strict=True)])
    assert [(group["weight_decay"], group["lr"]) for group in made] == [(0.1, 1e-3), (0.0, 1e-3), (0.1, 16e-3)]
    assert [len(group["params"]) for group in made] == [2, 1, 1] and made[0]["params"][1] is weights[2]


def test_moments_in_8_bits_but_for_tables(tiny_model_folder: Path) -> None:
    objective, found = learning(tiny_model_folder)
    optimizer = build(settings(optimizer="adamw_8bit"), found)
    backward(objective, 0)
    optimizer.step()
    states = {id(p): part.state[p]["state1"].dtype for part in optimizer.parts for p in part.state}  # type: ignore
    large = [one for one in found if one.parameter.numel() >= 4096]
    assert {one.kind for one in large} == {"matrix", "table"}
    for one in large:
        assert states[id(one.parameter)] == (torch.uint8 if one.kind == "matrix" else torch.float32)


def test_paged_on_a_cpu_is_said(tiny_model_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="tunesmith"):
        build(settings(optimizer="paged_adamw"), learning(tiny_model_folder)[1])
    assert "paged_adamw pages on a GPU only" in caplog.text


def test_muon_turns_matrices_only(tiny_model_folder: Path) -> None:
    _, found = learning(tiny_model_folder)
    optimizer = build(settings(optimizer="muon"), found)
    assert isinstance(optimizer, Joined) and isinstance(optimizer.parts[0], torch.optim.Muon)
    turned = {id(p) for group in optimizer.parts[0].param_groups for p in group["params"]}
    assert turned == {id(one.parameter) for one in found if one.kind == "matrix"}


def test_a_schedule_reaches_all_that_are_joined() -> None:
    one, two = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    parts = [torch.optim.SGD([one], lr=1.0), torch.optim.SGD([two], lr=2.0)]
    joined = Joined(parts)
    schedule = torch.optim.lr_scheduler.LambdaLR(joined, lambda step: 0.5**step)
    for parameter in (one, two):
        parameter.grad = torch.ones_like(parameter)
    joined.step()
    schedule.step()
    joined.step()
    assert one.detach().equal(torch.full((2, 2), -1.5)) and two.detach().equal(torch.full((2,), -3.0))
    joined.load_state_dict(joined.state_dict())
    schedule.step()
    joined.step()
    assert one.detach().equal(torch.full((2, 2), -1.75)) and two.detach().equal(torch.full((2,), -3.5))


def test_joined_state_has_torchs_form() -> None:
    weights = [nn.Parameter(torch.ones(2, 2)) for _ in range(3)]
    joined = Joined([torch.optim.AdamW(weights[:2]), torch.optim.AdamW(weights[2:])])
    for number, weight in enumerate(weights):
        weight.grad = torch.full((2, 2), float(number + 1))
    joined.step()
    state = joined.state_dict()
    assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]
    means = [state["state"][number]["exp_avg"][0, 0].item() for number in range(3)]
    assert means == pytest.approx([0.1, 0.2, 0.3])
