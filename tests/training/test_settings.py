"""TrainConfig: HF's names mean the same, contradictions are told."""

from __future__ import annotations

import pytest

from tunesmith import config
from tunesmith.errors import ConfigError
from tunesmith.training.settings import DistributedSettings, TrainConfig
from tunesmith.tuning import full, lora

PLAIN = {"model": "m", "output": "o", "data": {"train": ["a.json"]}}


def read(*overrides: str) -> TrainConfig:
    """The plain config with overrides."""
    return config.read(TrainConfig, PLAIN, overrides)


def test_hf_names() -> None:
    hf = read(
        "training.per_device_train_batch_size=3", "training.num_train_epochs=2", "training.lr_scheduler_type=linear",
        "tuning.r=5", "tuning.lora_alpha=7", "tuning.target_modules=[q_proj]", "data.model_max_length=99",
        "training.max_steps=4", "training.gradient_accumulation_steps=2",
    )  # fmt: skip
    ours = read(
        "training.batch_size=3", "training.epochs=2", "training.schedule=linear", "tuning.rank=5", "tuning.alpha=7",
        "tuning.targets=[q_proj]", "data.max_length=99", "training.steps=4", "training.gradient_accumulation_steps=2",
    )  # fmt: skip
    assert hf == ours and hf.tuning.rank == 5


def test_defaults_by_method() -> None:
    assert isinstance(read().tuning, lora.Config) and read().learning_rate == 2e-4
    assert isinstance(read("tuning=full").tuning, full.Config) and read("tuning=full").learning_rate == 1e-5
    assert read("training.learning_rate=3e-3").learning_rate == 3e-3
    assert read("data.train=b.json").data.train == ["b.json"]


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["tuning=lra"], "did you mean 'lora'"),
        (["tuning.rank=0"], "tuning.rank"),
        (["tuning=full", "tuning.rank=8"], "rank"),
        (["data.validation=v.json", "data.validation_share=0.1"], "not both"),
        (["training.eval_steps=5"], "needs data.validation"),
        (["training.precision=half"], "training.precision"),
        (["training.learnin_rate=1"], "did you mean 'learning_rate'"),
        (["data.train=[]"], "data.train"),
    ],
)
def test_faults(overrides: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read(*overrides)


def test_written_and_read_again(tmp_path) -> None:
    settings = read("tuning.targets=all-linear", "training.learning_rate=1e-4")
    (tmp_path / "c.yaml").write_text(config.dump(settings))
    assert config.read(TrainConfig, tmp_path / "c.yaml") == settings


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("adamw_torch", "adamw"),
        ("adamw_torch_fused", "adamw"),
        ("adamw_bnb_8bit", "adamw_8bit"),
        ("paged_adamw_32bit", "paged_adamw"),
        ("paged_adamw_8bit", "paged_adamw_8bit"),
        ("adafactor", "adafactor"),
    ],
)
def test_hf_names_of_optimizers(name: str, ours: str) -> None:
    assert read(f"training.optim={name}").training.optimizer == ours


def test_an_unknown_optimizer_is_told() -> None:
    with pytest.raises(ConfigError, match=r"training\.optimizer.*'adamw', .*'muon'"):
        read("training.optimizer=sgd")


@pytest.mark.parametrize(
    ("more", "match"),
    [
        (
            ["training.gradient_accumulation_steps=2", "training.max_grad_norm=0"],
            "gradient_accumulation_steps must be 1",
        ),
        ([], "cannot be clipped to a common norm; set max_grad_norm: 0"),
        (["training.max_grad_norm=0", "training.precision=fp16"], "does not go with the loss scaling"),
    ],
)
def test_what_a_step_in_backward_cannot_do(more: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read("training.optimizer_in_backward=true", *more)


@pytest.mark.parametrize(
    ("text", "size"), [("8GiB", 2**33), ("1.5 GB", 1_500_000_000), ("500MiB", 500 * 2**20), ("2000000", 2_000_000)]
)
def test_memory_budget(text: str, size: int, tmp_path) -> None:
    settings = read("training.gradient_checkpointing=auto", f"training.memory_budget={text}")
    assert settings.training.memory_budget == size
    (tmp_path / "c.yaml").write_text(config.dump(settings))
    assert config.read(TrainConfig, tmp_path / "c.yaml") == settings


def test_gradient_checkpointing_is_a_switch_a_number_or_auto() -> None:
    asked = ("true", "false", "1", "12", "auto")
    found = [read(f"training.activation_checkpointing={one}").training.gradient_checkpointing for one in asked]
    assert found == [True, False, 1, 12, "auto"] and found[0] is True and found[2] is not True


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["training.memory_budget=8GiB"], "goes with that alone"),
        (
            ["training.gradient_checkpointing=auto", "training.memory_budget=much"],
            "'much' is no size; write it as 8GiB",
        ),
        (["training.gradient_checkpointing=auto", "training.memory_budget=8"], "must be at least"),
        (["training.gradient_checkpointing=auto", "training.activation_offload=true"], "take one of them"),
        (["training.gradient_checkpointing=auto", "distributed.engine=fsdp"], "needs whole tensors"),
        (["training.gradient_checkpointing=-1"], "gradient_checkpointing"),
        (["data.streaming=true", "training.steps=4", "training.workers=2"], "every row once more"),
        (["training.workers=-1"], "at least 0"),
    ],
)
def test_faults_of_memory_and_workers(overrides: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read(*overrides)


@pytest.mark.parametrize("other", ["training.optimizer=muon", "training.precision=fp32"])
def test_bfloat16_weights_go_with_adamw_in_bfloat16(other: str) -> None:
    full = ["tuning.method=full", "tuning.master_weights=kahan"]
    assert read(*full, "training.optimizer=adamw_8bit").bf16_weights
    assert read(*full).bf16_weights and not read("tuning.method=full").bf16_weights
    with pytest.raises(ConfigError, match=r"tuning\.master_weights=kahan is AdamW on bfloat16 weights"):
        read(*full, other)


@pytest.mark.parametrize("engine", ["fsdp", "deepspeed"])
@pytest.mark.parametrize(
    ("other", "named"),
    [
        (["tuning.method=qlora"], r"tuning\.method=qlora"),
        (["tuning.method=full", "tuning.master_weights=kahan"], r"tuning\.master_weights"),
        (["training.optimizer=muon"], r"training\.optimizer=muon"),
    ],
)
def test_what_cannot_be_shared_out(engine: str, other: list[str], named: str) -> None:
    assert read("distributed.engine=ddp", *other).distributed is not None
    with pytest.raises(ConfigError, match=rf"{named} needs whole tensors, and distributed\.engine={engine} cuts them"):
        read(f"distributed.engine={engine}", *other)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["distributed.processes=0"], "must be at least 1, or auto"),
        (["distributed.processes=some"], "must be"),
        (["distributed.stage=3"], "stage: only with engine: deepspeed"),
        (["distributed.engine=fsdp", "distributed.offload=optimizer"], "offload: only with engine: deepspeed"),
        (["distributed.engine=deepspeed", "distributed.offload=all"], "needs stage: 3"),
        (
            ["distributed.engine=deepspeed", "distributed.config=a.json", "distributed.stage=3"],
            "leave stage and offload",
        ),
        (["distributed.nodes=2", "distributed.node_rank=2"], "node_rank 2 does not exist"),
    ],
)
def test_faults_of_several_processes(overrides: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read(*overrides)


def test_several_processes() -> None:
    assert read().distributed is None
    made = read("distributed.num_processes=2", "distributed.engine=deepspeed", "distributed.stage=3").distributed
    assert made is not None and (made.processes, made.stage, made.nodes) == (2, 3, 1)
    assert read("distributed.engine=fsdp").distributed == DistributedSettings(processes="auto", engine="fsdp")


@pytest.mark.parametrize(
    ("objective", "tuning", "rate"),
    [("dpo", "lora", 2e-5), ("kto", "full", 1e-6), ("orpo", "lora", 2e-4), ("sft", "full", 1e-5)],
)
def test_usual_learning_rate_of_an_objective(objective: str, tuning: str, rate: float) -> None:
    settings = read(f"objective={objective}", f"tuning={tuning}")
    assert settings.learning_rate == pytest.approx(rate) and settings.objective.method == objective
    assert read(f"objective={objective}", "training.learning_rate=1e-3").learning_rate == 1e-3


@pytest.mark.parametrize("objective", ["dpo", "kto", "orpo"])
@pytest.mark.parametrize("engine", ["fsdp", "deepspeed"])
def test_preferences_are_compared_on_whole_models(objective: str, engine: str) -> None:
    assert read(f"objective={objective}", "distributed.engine=ddp").objective.method == objective
    with pytest.raises(ConfigError, match=f"{objective} works with distributed.engine ddp, not with {engine}"):
        read(f"objective={objective}", f"distributed.engine={engine}")
