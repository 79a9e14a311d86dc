"""TrainConfig: HF's names mean the same, contradictions are told."""

from __future__ import annotations

import pytest

from tunesmith import config
from tunesmith.errors import ConfigError
from tunesmith.training.settings import TrainConfig
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
