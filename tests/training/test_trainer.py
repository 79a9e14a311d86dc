"""The trainer: same trajectory as a plain loop, equivalences, best checkpoint, faults while training."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from tunesmith import lookup
from tunesmith.errors import MachineError, NonFiniteError
from tunesmith.runs import RunFolder, open_run
from tunesmith.training import checkpoint, steps, trainer
from tunesmith.training.callbacks import Progress
from tunesmith.training.distributed.ranks import Ranks
from tunesmith.training.rows import arrange, prepare_rows
from tunesmith.training.run import train
from tunesmith.training.settings import TrainConfig
from tunesmith.training.setup import Setup, choose


def changed(config: dict[str, Any], output: Path, **training: Any) -> dict[str, Any]:
    """The config with another output and other training settings."""
    return {**config, "output": str(output), "training": {**config["training"], **training}}


def losses(run: Path, key: str = "loss") -> list[float]:
    """The logged losses."""
    return [line[key] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if key in line]


@pytest.mark.parametrize("accumulation", [1, 2])
def test_same_trajectory_as_a_plain_loop(accumulation: int, tiny_config: dict, tmp_path: Path) -> None:
    """The oracle: 25 lines of PyTorch with full logits, one mean over the label tokens of the whole step."""
    from tunesmith.data.chat import RenderOptions
    from tunesmith.data.chats import MarkerChat
    from tunesmith.data.collate import collate
    from tunesmith.data.order import EpochOrder
    from tunesmith.data.pipeline import prepare
    from tunesmith.data.tokenizer import TextTokenizer
    from tunesmith.models.load import load_model

    train(changed({**tiny_config, "tuning": "full"}, tmp_path / "run", learning_rate=1e-3, schedule="constant",
                  warmup_steps=0, gradient_accumulation_steps=accumulation, batch_size=4 // accumulation,
                  weight_decay=0.1))  # fmt: skip
    tokenizer = TextTokenizer.load(tiny_config["model"])
    rows = prepare([tiny_config["data"]["train"]], MarkerChat(), tokenizer, RenderOptions(64), on_bad="stop")
    model = load_model(tiny_config["model"], dtype=torch.float32, device="cpu").train()
    decayed = [p for name, p in model.named_parameters() if p.ndim > 1]
    plain = [p for name, p in model.named_parameters() if p.ndim == 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999), eps=1e-8)
    order = EpochOrder(rows.lengths, 4, 42, True)
    expected = []
    for epoch in range(2):
        order.set_epoch(epoch)
        indexes = list(order)
        for start in range(0, len(indexes), 4):
            batch = collate([rows[index] for index in indexes[start : start + 4]], tokenizer.pad_id)
            logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
            loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            expected.append(loss.item())
    assert losses(tmp_path / "run") == pytest.approx(expected, abs=2e-4)
    stored = load_file(tmp_path / "run" / "model" / "model.safetensors")
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(stored[name], parameter.detach(), atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "other",
    [
        {"gradient_accumulation_steps": 2, "batch_size": 2},
        {"gradient_checkpointing": True},
        {"workers": 1},
        {"logging_steps": 3, "save_steps": 5},
    ],
    ids=["accumulation", "gradient checkpointing", "worker process", "logging"],
)
def test_same_result_another_way(other: dict, tiny_config: dict, tmp_path: Path) -> None:
    config = {**tiny_config, "data": {**tiny_config["data"], "group_by_length": False}}
    train(changed(config, tmp_path / "one"))
    train(changed(config, tmp_path / "other", **other))
    one, two = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("one", "other"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-4, rtol=1e-3)


def test_best_checkpoint_is_the_result(tiny_config: dict, other_rows: Path, tmp_path: Path) -> None:
    """The validation contradicts what is learned: the result is an early step, not the last."""
    config = {**tiny_config, "data": {**tiny_config["data"], "validation": str(other_rows)}}
    settings = {"eval_steps": 1, "save_steps": 8, "schedule": "constant", "learning_rate": 0.1, "warmup_steps": 0}
    train(changed(config, tmp_path / "run", **settings))
    run = tmp_path / "run"
    evaluated = losses(run, "eval_loss")[1:]
    best = evaluated.index(min(evaluated)) + 1
    assert best < 8  # or this test shows nothing
    kept = checkpoint.steps(run / "checkpoints")
    assert best in kept and 8 in kept
    (weights,) = (load_file(run / "checkpoints" / f"checkpoint-{best}" / trainer.WEIGHTS),)
    stored = load_file(run / "adapter" / "adapter_model.safetensors")
    assert all(stored[name.replace(".default", "")].equal(tensor) for name, tensor in weights.items())


def test_non_finite_loss_stops_before_the_update(tiny_config: dict, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"Step \d+: the (loss|gradient of model).*before this update"):
        train(changed(tiny_config, tmp_path / "run", learning_rate=1e30, schedule="constant", warmup_steps=0))
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert status["state"] == "failed"
    assert "not finite" in status["reason"] or "loss is" in status["reason"]
    assert not (tmp_path / "run" / "adapter").exists()


@dataclass
class Built:
    """A run up to its first step."""

    config: TrainConfig
    setup: Setup
    run: RunFolder
    objective: Any
    tuner: trainer.TuneTrainer

    def fit(self, *callbacks: TrainerCallback) -> None:
        """Train."""
        for callback in callbacks:
            self.tuner.add_callback(callback)
        steps.fit(self.config, self.setup, self.tuner, self.run, Progress())

    def is_where_it_was(self, step: int) -> bool:
        """Whether the weights in memory are those of the checkpoint of a step."""
        before = load_file(self.run.checkpoints / f"checkpoint-{step}" / trainer.WEIGHTS)
        after = trainer.trainable_state(self.objective)
        return all(after[key].equal(value) for key, value in before.items())


def built(tree: dict[str, Any]) -> Built:
    """Go through the steps of a run until it could begin."""
    config = TrainConfig.model_validate(tree)
    run, setup = open_run(config.output), choose(config)
    loaded = steps.load_base(config, setup)
    rows = arrange(config, setup, loaded, prepare_rows(config, setup))
    method = lookup.find("tunesmith.tuning", config.tuning.method)
    objective = steps.build_objective(config, setup, loaded, method, run)
    return Built(config, setup, run, objective, steps.build_trainer(config, setup, objective, rows, method, run))


def test_non_finite_gradient_names_the_tensor(tiny_config: dict, tmp_path: Path) -> None:
    """A hook makes one gradient NaN at the third step; the weights stay those of the second."""
    made = built(changed(tiny_config, tmp_path / "run", save_steps=1))
    name, parameter = next((n, p) for n, p in made.objective.named_parameters() if "layers.1.mlp.up_proj.lora_B" in n)

    class Poison(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                parameter.register_hook(lambda gradient: gradient * float("nan"))

    with pytest.raises(NonFiniteError, match=rf"Step 3: the gradient of {name.removeprefix('model.')} is not finite"):
        made.fit(Poison())
    assert checkpoint.steps(made.run.checkpoints)[-1] == 2 and made.is_where_it_was(2)


@pytest.mark.parametrize(
    "training",
    [{}, {"max_grad_norm": 0}, {"gradient_accumulation_steps": 2}],
    ids=["clipped", "not clipped", "accumulated"],
)
def test_non_finite_loss_of_a_batch(training: dict, tiny_config: dict, tmp_path: Path) -> None:
    """A batch of the third step gives infinity, the first one of those that make the step; its gradients are finite."""
    made = built(changed(tiny_config, tmp_path / "run", save_steps=1, batch_size=2, **training))
    calls: list[int] = []

    def poison(_: Any, inputs: Any, loss: torch.Tensor) -> torch.Tensor:
        calls.append(made.tuner.state.global_step)
        return loss + float("inf") if calls.count(2) == 1 and calls[-1] == 2 else loss

    made.objective.register_forward_hook(poison)
    with pytest.raises(NonFiniteError, match=r"Step 3: the loss is inf\. The run stops before this update"):
        made.fit()
    assert calls.count(2) == training.get("gradient_accumulation_steps", 1) and made.is_where_it_was(2)


def test_non_finite_loss_stops_all_ranks_and_before_an_update_in_the_backward_pass(
    tiny_config: dict, tmp_path: Path
) -> None:
    inside = {"optimizer_in_backward": True, "max_grad_norm": 0}
    made = built(changed({**tiny_config, "tuning": "full"}, tmp_path / "run", save_steps=1, **inside))
    made.objective.register_forward_hook(
        lambda _, inputs, loss: loss * float("nan") if made.tuner.state.global_step == 1 else loss
    )
    with pytest.raises(NonFiniteError, match="Step 2: the loss is nan"):
        made.fit()
    assert made.is_where_it_was(1)

    class Peers(Ranks):
        def most(self, number: int) -> int:
            return 1

    made.tuner.form.ranks = Peers(0, 2)
    with pytest.raises(NonFiniteError, match="the loss of another rank is not finite"):
        made.tuner._check_losses([1.0, 2.0])


def test_disk_full_while_saving(tiny_config: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No space: a message, no half-written checkpoint, the one before intact, and the run resumes later."""
    real, calls = trainer.save_file, []

    def full(*arguments: Any, **options: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    monkeypatch.setattr(trainer, "save_file", full)
    with pytest.raises(MachineError, match=r"checkpoint-6.*No space left.*it resumes"):
        train(changed(tiny_config, tmp_path / "run"))
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["checkpoint-2", "checkpoint-4"]
    assert train(changed(tiny_config, tmp_path / "run")).state == "finished"


def test_too_little_space_is_said_before_writing(tiny_config: dict, tmp_path: Path, monkeypatch) -> None:
    from tunesmith import runs

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(MachineError, match="No disk space for a checkpoint"):
        train(changed(tiny_config, tmp_path / "run"))
    assert list((tmp_path / "run" / "checkpoints").iterdir()) == []


def test_lora_plus_and_weight_decay_groups(tiny_config: dict, tmp_path: Path) -> None:
    """B matrices learn 8 times as fast, and what is saved for resuming says so."""
    config = {**tiny_config, "tuning": {"method": "lora", "rank": 4, "plus_ratio": 8.0}}
    train(changed(config, tmp_path / "run", schedule="constant", warmup_steps=0, weight_decay=0.1, steps=2))
    state = torch.load(tmp_path / "run" / "checkpoints" / "checkpoint-2" / "optimizer.pt", weights_only=True)
    groups = {(group["weight_decay"], round(group["lr"], 6)): len(group["params"]) for group in state["param_groups"]}
    assert groups == {(0.1, 5e-3): 14, (0.1, 4e-2): 14}  # 7 layers in each of 2 blocks
