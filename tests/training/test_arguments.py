"""Precision, loggers, steps and schedules in HF's words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tunesmith.errors import ConfigError, MachineError
from tunesmith.training import arguments
from tunesmith.training.settings import TrainConfig
from tunesmith.tuning import full


def config(**training: object) -> TrainConfig:
    """A config with these training settings."""
    tree = {"model": "m", "output": "o", "data": {"train": "t.json"}, "training": training}
    return TrainConfig.model_validate(tree)


def test_precision_is_safe_on_a_cpu() -> None:
    cpu = torch.device("cpu")
    assert arguments.choose_precision(config(), cpu).compute == torch.float32
    assert arguments.choose_precision(config(precision="bf16"), cpu).compute == torch.bfloat16
    with pytest.raises(MachineError, match="fp16 needs a GPU"):
        arguments.choose_precision(config(precision="fp16"), cpu)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(MachineError, match="sees no CUDA GPU"):
        arguments.choose_device(config(device="cuda"))
    assert arguments.choose_device(config()).type == "cpu"


@pytest.mark.parametrize(
    ("settings", "rows", "expected"),
    [
        ({"batch_size": 4, "epochs": 2}, 16, (8, 4)),
        ({"batch_size": 4, "epochs": 2}, 17, (10, 5)),
        ({"batch_size": 4, "gradient_accumulation_steps": 3, "epochs": 1}, 17, (2, 2)),
        ({"batch_size": 4, "epochs": 0.5}, 16, (2, 4)),
        ({"batch_size": 64, "epochs": 0.1}, 16, (1, 1)),
        ({"batch_size": 4, "steps": 7}, 16, (7, 4)),
    ],
)
def test_steps(settings: dict, rows: int, expected: tuple[int, int]) -> None:
    assert arguments.step_counts(config(**settings), rows) == expected
    if settings["batch_size"] % 2 == 0:  # over two ranks of half the size
        halved = {**settings, "batch_size": settings["batch_size"] // 2}
        assert arguments.step_counts(config(**halved), rows, world=2) == expected


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ({"schedule": "linear", "warmup_steps": 2}, [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
        ({"schedule": "constant", "warmup_ratio": 0.2}, [0.0, 0.5] + [1.0] * 8),
        ({"schedule": "wsd", "warmup_steps": 1, "decay_ratio": 0.2}, [0.0, *[1.0] * 8, 0.5]),
        ({"schedule": "cosine", "warmup_steps": 0, "min_learning_rate_ratio": 0.5}, None),
    ],
    ids=["linear", "constant", "wsd", "cosine"],
)
def test_schedules(settings: dict, rates: list[float] | None, tmp_path: Path) -> None:
    from transformers import get_scheduler

    precision = arguments.Precision(torch.float32, torch.float32, "")
    made = arguments.training_arguments(config(steps=10, learning_rate=1.0, **settings), tmp_path, precision, 100)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = get_scheduler(
        made.lr_scheduler_type, optimizer, int(made.warmup_steps), 10, made.lr_scheduler_kwargs or {}
    )
    seen = []
    for _ in range(10):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    if rates is not None:
        assert seen == pytest.approx(rates, abs=1e-6)
    else:
        assert seen[0] == 1.0 and optimizer.param_groups[0]["lr"] == pytest.approx(0.5) and seen == sorted(seen)[::-1]


def test_loggers() -> None:
    assert arguments.reporters(config(report_to=["none"])) == []
    with pytest.raises(ConfigError, match="unknown logger 'x'"):
        arguments.reporters(config(report_to="x"))
    with pytest.raises(MachineError, match="pip install swanlab"):
        arguments.reporters(config(report_to="swanlab"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_activations_have_nowhere_to_go_on_a_cpu() -> None:
    with pytest.raises(MachineError, match=r"activation_offload.*on the CPU.*leave it out"):
        arguments.choose_device(config(activation_offload=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_cpu_has_no_memory_that_is_free() -> None:
    with pytest.raises(ConfigError, match=r"gradient_checkpointing=auto.*memory_budget=8GiB"):
        arguments.choose_device(config(gradient_checkpointing="auto"))
    assert arguments.choose_device(config(gradient_checkpointing="auto", memory_budget="1GiB")).type == "cpu"


def test_bfloat16_weights_are_computed_in_bfloat16() -> None:
    settings = config().model_copy(update={"tuning": full.Config(master_weights="kahan")})
    assert arguments.choose_precision(settings, torch.device("cpu")).compute == torch.bfloat16
