"""Gradient checkpointing by layers: what is kept is measured, the fewest layers are chosen, and no number changes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers import LlamaConfig, LlamaForCausalLM

from tunesmith.errors import ConfigError
from tunesmith.models import auto
from tunesmith.models.load import load
from tunesmith.training import checkpointing
from tunesmith.training.checkpointing import Kept, compute_again, kept_by
from tunesmith.training.distributed.ranks import Ranks
from tunesmith.training.objective import Objective
from tunesmith.training.optimizers import build, learners
from tunesmith.training.run import train
from tunesmith.training.settings import TrainConfig
from tunesmith.tuning import full, lora

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")  # PEFT, transformers 5.23
FAMILIES = ("nano-minicpm", "nano-minicpmv", "nano-transnormer", "llama")


def objective_of(name: str, method: Any, **settings: Any) -> Objective:
    """A model of a family, tuned, whose adapters have a gradient everywhere."""
    if name == "llama":
        sizes = {"vocab_size": 260, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3}
        model, family = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4)), auto.FAMILY
    else:
        loaded = load(name, dtype=torch.float32)
        model, family = loaded.model, loaded.family
    objective = Objective(method.apply(model, family, method.Config(**settings)), family).train()
    with torch.no_grad():
        for key, parameter in objective.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.1)
    return objective


def batch_of(rows: int, length: int = 24) -> dict[str, Tensor]:
    """Rows of random tokens, all of them labels."""
    ids = torch.randint(3, 250, (rows, length), generator=torch.Generator().manual_seed(7))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}


def gradients(objective: Objective) -> tuple[Tensor, list[Tensor]]:
    """The loss and all gradients; a tower that is shown no picture has none."""
    objective.zero_grad()
    loss = objective(**batch_of(2))
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in objective.parameters() if p.grad is not None]


@pytest.mark.parametrize("method", [lora, full], ids=["lora", "full"])
@pytest.mark.parametrize("name", FAMILIES)
def test_bytes_are_those_of_all_that_is_saved(name: str, method: Any) -> None:
    """Counted another way: everything is held until the end."""
    objective, batch = objective_of(name, method), batch_of(2)
    own = {parameter.untyped_storage().data_ptr() for parameter in objective.parameters()}
    held: dict[int, torch.UntypedStorage] = {}
    transient: set[int] = set()

    def pack(tensor: Tensor) -> Tensor:
        held[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    def unpack(tensor: Tensor) -> Tensor:
        transient.add(tensor.untyped_storage().data_ptr())
        return tensor

    with saved_tensors_hooks(pack, unpack):
        loss = objective(**batch)
    expected = sum(storage.nbytes() for at, storage in held.items() if at not in own | transient)
    kept = kept_by(objective, batch)
    assert sum(kept.plain) + kept.rest == kept.peak([]) == pytest.approx(expected, rel=0.01) and loss > 0
    assert kept.worth == list(range(len(kept.layers))) and len(kept.layers) >= 3
    assert kept.peak(kept.worth) < kept.peak([])


@pytest.mark.parametrize("name", FAMILIES)
def test_it_grows_evenly_with_the_rows(name: str) -> None:
    objective = objective_of(name, lora)
    one, two, five = (kept_by(objective, batch_of(rows)) for rows in (1, 2, 5))
    assert one.grown(two, 4) == five


@pytest.mark.parametrize("method", [lora, full], ids=["lora", "full"])
@pytest.mark.parametrize("name", FAMILIES)
def test_no_number_changes(name: str, method: Any) -> None:
    """Bit for bit, with none, some and all layers computed again."""
    objective = objective_of(name, method)
    calls: dict[nn.Module, int] = {}
    kept = kept_by(objective, batch_of(1))
    for layer in kept.layers:
        linear = next(child for child in layer.modules() if isinstance(child, nn.Linear))
        linear.register_forward_hook(lambda *_, layer=layer: calls.update({layer: calls.get(layer, 0) + 1}))
    loss, grads = gradients(objective)
    assert len(grads) > 10 and all(one.any() for one in grads)
    for chosen in ([], [0], [1, 2], kept.worth):
        compute_again(objective.inner, kept, chosen)
        calls.clear()
        again, others = gradients(objective)
        assert again.equal(loss) and all(a.equal(b) for a, b in zip(others, grads, strict=True))
        assert [calls[layer] for layer in kept.layers] == [1 + (n in chosen) for n in range(len(kept.layers))]


def test_layers_below_the_lowest_that_learns_are_not_counted() -> None:
    objective = objective_of("nano-minicpm", lora, targets=r".*layers\.3\..*q_proj")
    kept = kept_by(objective, batch_of(2))
    assert kept.worth == [3] and kept.plain[:3] == (0, 0, 0)
    assert kept.fewest(0) == []  # the last layer is needed at once: its input on top would be more
    loss, grads = gradients(objective)
    compute_again(objective.inner)
    need: list[bool] = []
    for layer in kept.layers:
        layer.register_forward_pre_hook(lambda _, args: need.append(args[0].requires_grad))
    again, others = gradients(objective)
    assert again.equal(loss) and all(a.equal(b) for a, b in zip(others, grads, strict=True))
    # they are not gone through backwards either; whether hooks see a layer once more in that is transformers' choice
    assert len(need) >= 4 and not any(need)


def test_the_fewest_layers_that_fit() -> None:
    layers = tuple(nn.Linear(1, 1) for _ in range(4))
    kept = Kept(layers, (100, 100, 300, 0), (10, 10, 10, 10), 7)
    assert kept.worth == [0, 1, 2]
    assert kept.peak([]) == 507
    assert kept.peak([2]) == 7 + 100 + 100 + 10 + 300  # the large one is needed in full while the others are kept
    assert kept.peak([0]) == 7 + 10 + 100 + 300
    assert kept.peak([0, 1]) == 7 + 10 + 10 + 300
    assert kept.peak([0, 1, 2]) == 7 + 10 + 10 + 10 + 300
    even = Kept(layers[:3], (100, 100, 100), (10, 10, 10), 0)
    chosen = {room: even.fewest(room) for room in (300, 299, 210, 209, 130, 120, 0)}
    assert chosen[300] == [] and chosen[299] == chosen[210] == [0] and chosen[209] == chosen[130] == [0, 1]
    assert chosen[120] == [0, 1]
    assert even.peak([0, 1, 2]) == 130 and chosen[0] == [0, 1]  # the last one is needed at once


def test_nothing_else_changes() -> None:
    objective = objective_of("nano-minicpm", lora, dropout=0.5)
    objective.measures["kept"] = torch.ones(2)
    state = torch.get_rng_state()
    kept_by(objective.eval(), batch_of(1))
    assert torch.get_rng_state().equal(state) and "kept" in objective.measures and not objective.training
    assert all(p.grad is None for p in objective.parameters())


# --- whole runs ------------------------------------------------------------------------------------------------------


def run(config: dict[str, Any], output: Path, **training: Any) -> dict[str, Tensor]:
    """The adapter of a run."""
    train({**config, "output": str(output), "training": {**config["training"], **training}})
    return load_file(output / "adapter" / "adapter_model.safetensors")


def test_a_run_by_budget(tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The same weights, with dropout, too."""
    config = {**tiny_config, "tuning": {"method": "lora", "rank": 4, "dropout": 0.2}}
    plain = run(config, tmp_path / "plain", steps=4)
    capfd.readouterr()
    for name, budget, said in (("wide", "2GiB", "0 of 2 layers"), ("narrow", "1MiB", "1 of 2 layers")):
        found = run(config, tmp_path / name, steps=4, gradient_checkpointing="auto", memory_budget=budget)
        assert all(found[key].equal(tensor) for key, tensor in plain.items())
        text = capfd.readouterr().err
        assert f"Gradient checkpointing: {said} are computed again: with the largest batch (" in text
        assert ("no choice of layers takes less" in text) == (name == "narrow")


@pytest.mark.parametrize("data", [{"packing": True}, {"streaming": True}], ids=lambda one: next(iter(one)))
def test_a_number_of_layers(data: dict, tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    config = {**tiny_config, "data": {**tiny_config["data"], **data}}
    plain = run(config, tmp_path / "plain", steps=2)
    found = run(config, tmp_path / "some", steps=2, gradient_checkpointing=1)
    assert all(found[key].equal(tensor) for key, tensor in plain.items())
    assert "Gradient checkpointing: 1 of 2 layers are computed again." in capfd.readouterr().err


def test_preferences_by_budget(tiny_config: dict, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """KTO compares the rows of a batch, so one row is not enough to measure."""
    rows = [{"prompt": f"say {n}", "completion": "yes" * (n + 1), "label": n % 2 == 0} for n in range(8)]
    (tmp_path / "kto.json").write_text(json.dumps(rows), "utf-8")
    data = {"train": str(tmp_path / "kto.json"), "max_length": 64}
    config = {**tiny_config, "data": data, "objective": "kto"}
    run(config, tmp_path / "kto", steps=1, gradient_checkpointing="auto", memory_budget="1GiB")
    assert "0 of 2 layers are computed again" in capfd.readouterr().err


def test_a_model_whose_layers_cannot_be_chosen(tiny_config: dict, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(checkpointing, "GradientCheckpointingLayer", nn.Bilinear)  # none of its layers is one
    with pytest.raises(ConfigError, match="again all or none. Give true or false"):
        run(tiny_config, tmp_path / "run", gradient_checkpointing=1)


# --- what is held beside activations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "optimizer"),
    [
        ("float32", "adamw"),
        ("float32", "adamw_8bit"),
        ("float32", "muon"),
        ("float32", "adafactor"),
        ("kahan", "adamw"),
        ("stochastic", "adamw"),
        ("kahan", "adamw_8bit"),
        ("stochastic", "adamw_8bit"),
    ],
)
def test_moments_are_those_of_the_optimiser(weights: str, optimizer: str) -> None:
    tree = {"model": "m", "output": "o", "data": {"train": "t"}, "training": {"optimizer": optimizer}}
    config = TrainConfig.model_validate({**tree, "tuning": {"method": "full", "master_weights": weights}})
    objective = objective_of("nano-minicpm", full)
    objective.to(torch.float32 if weights == "float32" else torch.bfloat16)
    names = [name for name, _ in objective.named_parameters()]
    stepping = build(config, learners(objective, dict.fromkeys(names, 0.0), dict.fromkeys(names, 1e-4)))
    for parameter in objective.parameters():
        parameter.grad = torch.randn_like(parameter)
    stepping.step()
    states = [one.state for one in getattr(stepping, "parts", [stepping])]
    tensors = [x for state in states for kept in state.values() for x in kept.values() if isinstance(x, Tensor)]
    held = sum(x.numel() * x.element_size() for x in tensors)
    fixed = checkpointing._fixed(config, SimpleNamespace(ranks=Ranks()), objective)
    size = sum(parameter.numel() for parameter in objective.parameters())
    assert held < 1.05 * fixed["moments"] + 0.1 * size
    if optimizer in ("adamw", "adamw_8bit"):
        assert held > 0.95 * fixed["moments"]
    assert fixed["weights"] == fixed["gradients"] == size * (4 if weights == "float32" else 2)
