"""Published command lines in our words: every flag becomes a setting, is said to have no effect, or is an error."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tunesmith import config
from tunesmith.compat.finetune import read_settings
from tunesmith.compat.translate import translate
from tunesmith.config.text import parse
from tunesmith.errors import ConfigError
from tunesmith.locate import locate

Command = Callable[..., list[str]]
LEAST = ["--model_name_or_path", "nano-minicpm", "--output_dir", "out", "--train_data_path", "train.json"]


def translated(*words: str) -> dict[str, Any]:
    return translate([*LEAST, *words]).settings


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)


@pytest.fixture
def deepspeed(tmp_path: Path) -> str:
    """A DeepSpeed JSON, as empty as one can be."""
    (tmp_path / "ds_config.json").write_text("{}", encoding="utf-8")
    return str(tmp_path / "ds_config.json")


def test_minicpm_lora(command: Command, deepspeed: str) -> None:
    found = translate(command("minicpm lora", deepspeed=deepspeed))
    assert found.settings == {
        "model": "MiniCPM-2B-sft-bf16",
        "output": "output/OCNLILoRA/20240201120000/",
        "data": {
            "train": "data/ocnli_public_chatml/train.json",
            "validation": "data/ocnli_public_chatml/dev.json",
            "max_length": 128,
            "end_of_turn": "last",
            "group_by_length": False,
        },
        "tuning": {
            "method": "lora",
            "rank": 64,
            "alpha": 32.0,
            "dropout": 0.1,
            "targets": ["q_proj", "v_proj"],
            "init": "gaussian",
        },
        "training": {
            "steps": 1000,
            "batch_size": 80,
            "eval_batch_size": 128,
            "gradient_accumulation_steps": 1,
            "learning_rate": 5e-5,
            "schedule": "linear",
            "warmup_steps": 100,
            "weight_decay": 0.01,
            "precision": "bf16",
            "seed": 42,
            "eval_steps": 500,
            "save_steps": 500,
            "logging_steps": 10,
            "result": "last",
        },
        "distributed": {"processes": 1, "engine": "deepspeed", "config": deepspeed},
    }
    assert found.environment == {"CUDA_VISIBLE_DEVICES": "1"}
    assert any(note.startswith("--log_level: no effect; ") for note in found.notes)
    assert any("rank is 64" in note and "--lora_r 8" in note for note in found.notes)
    read_settings(found)


def test_minicpm_full(command: Command, deepspeed: str) -> None:
    found = translate(command("minicpm full", deepspeed=deepspeed))
    assert found.settings["tuning"] == {"method": "full"}
    assert found.settings["data"]["max_length"] == 512
    assert found.settings["training"]["gradient_accumulation_steps"] == 2
    assert found.settings["distributed"] == {"processes": 2, "engine": "deepspeed", "config": deepspeed}
    assert found.environment == {"CUDA_VISIBLE_DEVICES": "0,1"}
    read_settings(found)


def test_minicpm_qlora(command: Command) -> None:
    found = translate([*command("minicpm lora", deepspeed=None), "--qlora", "true"])
    assert found.settings["tuning"]["method"] == "qlora"
    assert "distributed" not in found.settings
    read_settings(found)


def test_dpo(command: Command) -> None:
    found = translate(command("minicpm dpo", sft_loss_weight=None))
    assert found.settings["objective"] == {"method": "dpo", "beta": 0.1}
    assert "validation" not in found.settings["data"]
    read_settings(found)


@pytest.mark.parametrize("flag", ["use_dpo", "use_lora --qlora"])
def test_what_needs_the_model_whole_goes_without_deepspeed(flag: str, command: Command, deepspeed: str) -> None:
    found = translate([*command("minicpm full", deepspeed=deepspeed), *f"--{flag}".split()])
    assert found.settings["distributed"] == {"processes": 2, "engine": "ddp"}
    assert f"--deepspeed: no effect; with --{flag.split('--')[-1]} the model is whole on each process." in str(
        found.notes
    )
    read_settings(found)


def test_minicpmv_lora(command: Command, deepspeed: str) -> None:
    found = translate(
        command("minicpmv lora", model_name_or_path="nano-minicpmv", max_slice_nums="4", deepspeed=deepspeed)
    )
    assert found.settings == {
        "model": "nano-minicpmv",
        "output": "output/output_minicpmv2",
        "data": {
            "train": "path/to/training_data",
            "validation": "path/to/test_data",
            "max_length": 2048,
            "picture_roots": ["."],
            "group_by_length": False,
        },
        "tuning": {
            "method": "lora",
            "rank": 64,
            "alpha": 64.0,
            "dropout": 0.05,
            "targets": r"llm\..*layers\.\d+\.self_attn\.(q_proj|k_proj)",
            "language": "lora",
            "vision": "full",
            "resampler": "full",
            "embeddings": "full",
        },
        "training": {
            "steps": 10000,
            "batch_size": 2,
            "eval_batch_size": 1,
            "gradient_accumulation_steps": 1,
            "learning_rate": 1e-6,
            "schedule": "cosine",
            "warmup_ratio": 0.01,
            "weight_decay": 0.1,
            "beta2": 0.95,
            "precision": "fp16",
            "gradient_checkpointing": True,
            "eval_steps": 1000,
            "save_steps": 1000,
            "keep_checkpoints": 10,
            "logging_steps": 1,
            "result": "last",
            "report_to": ["tensorboard"],
        },
        "distributed": {
            "processes": 8,
            "nodes": 1,
            "node_rank": 0,
            "address": "localhost",
            "port": 6001,
            "engine": "deepspeed",
            "config": deepspeed,
        },
    }
    said = {note.partition(":")[0] for note in found.notes}
    assert said >= {"--remove_unused_columns", "--label_names", "--prediction_loss_only", "--do_train", "--do_eval"}
    assert said >= {"--bf16_full_eval", "--fp16_full_eval", "--logging_dir", "--llm_type", "--max_slice_nums"}
    read_settings(found)


def test_minicpmv_full(command: Command) -> None:
    changed = {"model_name_or_path": "nano-minicpmv", "max_slice_nums": "4", "deepspeed": None}
    found = translate(command("minicpmv full", **changed))
    assert found.settings["tuning"] == {"method": "full"}
    assert found.settings["training"]["precision"] == "bf16"
    assert found.settings["distributed"]["engine"] == "ddp"
    read_settings(found)


def test_the_defaults_are_the_published_ones() -> None:
    found = translated()
    assert found["training"] == {
        "learning_rate": 5e-5,
        "schedule": "linear",
        "warmup_steps": 0,
        "precision": "fp32",
        "logging_steps": 500,
        "save_steps": 500,
        "result": "last",
    }
    settings = read_settings(translate(LEAST))
    assert (settings.training.batch_size, settings.training.epochs, settings.training.seed) == (8, 3.0, 42)


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("--max_steps -1", "training.steps", None),
        ("--num_train_epochs 2", "training.epochs", 2.0),
        ("--warmup_ratio 0.1", "training.warmup_ratio", 0.1),
        ("--warmup_ratio 0.1 --warmup_steps 7", "training.warmup_steps", 7),
        ("--lr_scheduler_type constant --warmup_steps 7", "training.warmup_steps", 0),
        ("--lr_scheduler_type constant_with_warmup --warmup_steps 7", "training.warmup_steps", 7),
        ("--lr_scheduler_type warmup_stable_decay", "training.schedule", "wsd"),
        ("--fp16 true --bf16 false", "training.precision", "fp16"),
        ("--use_cpu", "training.device", "cpu"),
        ("--no_cuda true", "training.device", "cpu"),
        ("--save_strategy epoch", "training.save_steps", None),
        ("--save_strategy no", "training.save_steps", None),
        ("--report_to none", "training.report_to", ["none"]),
        ("--report_to all", "training.report_to", None),
        ("--report_to tensorboard wandb", "training.report_to", ["tensorboard", "wandb"]),
        ("--group_by_length", "data.group_by_length", True),
        ("--train_sampling_strategy group_by_length", "data.group_by_length", True),
        ("--overwrite_output_dir", "training.resume", "never"),
        ("--eval_data_path dev.json", "data.validation", []),
        ("--eval_data_path dev.json --eval_strategy epoch", "training.eval_steps", None),
        ("--eval_data_path dev.json --eval_strategy steps", "training.eval_steps", 500),
        ("--eval_data_path dev.json --eval_strategy steps --logging_steps 5", "training.eval_steps", 5),
        ("--eval_data_path dev.json --eval_strategy epoch --load_best_model_at_end", "training.result", "best"),
        ("--push_to_hub false --label_smoothing_factor 0 --fsdp none", "training.batch_size", 8),
        ("--activation_checkpointing", "training.gradient_checkpointing", True),
        ("--use_lora --lora_r 8", "tuning.rank", 8),
        ("--optim adamw_torch", "training.optimizer", "adamw"),
        ("--optim adafactor", "training.optimizer", "adafactor"),
    ],
)
def test_a_flag_becomes_a_setting(words: str, key: str, value: Any) -> None:
    found: Any = read_settings(translate([*LEAST, *words.split()]))
    for part in key.split("."):
        found = getattr(found, part)
    assert found == value


def test_an_empty_shell_variable_is_no_value() -> None:
    assert "validation" not in translated("--eval_data_path", "")["data"]


def test_a_folder_stands_for_the_files_of_the_tutorial(talks: Path) -> None:
    words = ["--train_data_path", str(talks), "--eval_data_path", str(talks), "--eval_strategy", "epoch"]
    found = translate([*LEAST[:4], *words])
    assert found.settings["data"]["train"] == str(talks / "train.json")
    assert found.settings["data"]["validation"] == str(talks / "dev.json")
    assert f"'{talks}' is a folder; its dev.json is read." in found.notes


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--bf16 --fp16", "--bf16 and --fp16 contradict each other"),
        ("--eval_strategy steps", "--eval_strategy is steps, but --eval_data_path is missing"),
        ("--eval_strategy sometimes", "--eval_strategy is 'sometimes', but must be steps, epoch or no"),
        ("--save_strategy best", "--save_strategy is 'best', but must be"),
        ("--eval_strategy no --evaluation_strategy steps", "are one setting, and contradict each other"),
        ("--load_best_model_at_end", "--load_best_model_at_end needs an evaluation"),
        (
            "--eval_strategy epoch --eval_data_path x --load_best_model_at_end --metric_for_best_model rouge",
            "--metric_for_best_model rouge is not supported",
        ),
        ("--lr_scheduler_type polynomial", "--lr_scheduler_type polynomial is not supported. Supported: linear"),
        ("--train_sampling_strategy sequential", "--train_sampling_strategy sequential is not supported"),
        ("--deepspeed nowhere.json", "--deepspeed: there is no file 'nowhere.json'"),
        ("--push_to_hub", "--push_to_hub True is not supported; nothing is uploaded"),
        ("--neftune_noise_alpha 5", "--neftune_noise_alpha 5.0 is not supported"),
        ("--fsdp full_shard", "--fsdp full_shard is not supported; give `distributed`"),
        ("--use_dpo --sft_loss_weight 0.5", r"--sft_loss_weight 0\.5 is not supported"),
        ("--qlora", "--qlora needs --use_lora"),
        ("--tune_vision true", "--tune_vision belongs to MiniCPM-V's finetune.py"),
    ],
)
def test_what_cannot_be_followed(words: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        translated(*words.split())


@pytest.mark.parametrize("number", [0, 2, 4])
def test_what_must_be_given(number: int) -> None:
    words = LEAST[:number] + LEAST[number + 2 :]
    with pytest.raises(ConfigError, match=f"{LEAST[number]} is missing|training data are missing"):
        translate(words, "minicpm" if number < 4 else None)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--llm_type llama3", "--llm_type llama3 is another network than MiniCPM-V 2.0"),
        ("--max_slice_nums 9", r"--max_slice_nums is 9, but .*config.json says 4\..*write 9 into a copy"),
        ("--scale_resolution 448", "--scale_resolution is 448, but .*config.json says 70"),
        ("--lora_weight_path out/x", "--lora_weight_path out/x is not supported"),
    ],
)
def test_pictures_are_cut_as_the_model_says(words: str, complaint: str) -> None:
    least = ["--model_name_or_path", "nano-minicpmv", "--output_dir", "out", "--data_path", "train.json"]
    with pytest.raises(ConfigError, match=complaint):
        translate([*least, *words.split()])
    slices = json.loads((locate("nano-minicpmv") / "config.json").read_text("utf-8"))["max_slice_nums"]
    assert translate([*least, "--max_slice_nums", str(slices), "--lora_weight_path", ""]).settings["data"]


def test_picture_roots() -> None:
    least = ["--model_name_or_path", "nano-minicpmv", "--output_dir", "out", "--data_path", "train.json"]
    assert translate([*least, "--picture_roots", "a", "b"]).settings["data"]["picture_roots"] == [".", "a", "b"]


def test_a_value_out_of_range_names_the_flag() -> None:
    found = translate([*LEAST, "--per_device_train_batch_size", "0"])
    with pytest.raises(
        ConfigError, match=r"batch_size is 0, but .*training.batch_size is --per_device_train_batch_size"
    ):
        read_settings(found)


def test_an_unknown_choice_names_the_flag() -> None:
    with pytest.raises(ConfigError, match=r"training.optimizer is .lomo., but must be .*training.optimizer is --optim"):
        read_settings(translate([*LEAST, "--optim", "lomo"]))


def test_under_a_launcher_the_processes_are_there_already(deepspeed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert translated("--deepspeed", deepspeed)["distributed"] == {"engine": "deepspeed", "config": deepspeed}


def test_the_text_is_a_file_for_train(command: Command) -> None:
    found = translate(command("minicpm lora", deepspeed=None))
    tree, _ = parse(found.yaml())
    assert tree == found.settings
    assert config.read(type(read_settings(found)), tree) == read_settings(found)
    assert all(f"# {note}\n" in found.yaml() for note in found.notes)
