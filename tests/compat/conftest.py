"""Golden cases of MiniCPM-V 2.0 as folders like the published one, and the conversations recorded with them."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VISION = Path(__file__).parents[1] / "golden" / "minicpmv2"


@pytest.fixture(scope="session")
def vision_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a golden case as a model folder with its tokenizer; do not change it."""
    root = tmp_path_factory.mktemp("vision")

    def folder(case: str) -> Path:
        if not (root / case).is_dir():
            shutil.copytree(VISION / "tokenizer", root / case)
            shutil.copyfile(VISION / case / "config.json", root / case / "config.json")
            shutil.copyfile(VISION / case / "weights.safetensors", root / case / "model.safetensors")
        return root / case

    return folder


@pytest.fixture(scope="session")
def golden_runs() -> dict[str, dict[str, Any]]:
    """The runs of the published chat by name; `case` is added, and `picture`: the path of the picture, or None."""
    runs = {}
    for case in ("chat_noslice", "chat_sliced"):
        for run in json.loads((VISION / case / "case.json").read_text(encoding="utf-8"))["runs"]:
            picture = VISION / "pictures" / run["image"] if run["image"] else None
            runs[run["run"]] = {**run, "case": case, "picture": picture}
    return runs


MINICPM_LORA = r"""
deepspeed --include localhost:1 --master_port 19888 finetune.py \
    --model_name_or_path MiniCPM-2B-sft-bf16 \
    --output_dir output/OCNLILoRA/20240201120000/ \
    --train_data_path data/ocnli_public_chatml/train.json \
    --eval_data_path data/ocnli_public_chatml/dev.json \
    --learning_rate 5e-5 --per_device_train_batch_size 80 \
    --per_device_eval_batch_size 128 --model_max_length 128 --bf16 --use_lora \
    --gradient_accumulation_steps 1 --warmup_steps 100 \
    --max_steps 1000 --weight_decay 0.01 \
    --evaluation_strategy steps --eval_steps 500 \
    --save_strategy steps --save_steps 500 --seed 42 \
    --log_level info --logging_strategy steps --logging_steps 10 \
    --deepspeed configs/ds_config_zero3_offload.json
"""
MINICPM_FULL = r"""
deepspeed --include localhost:0,1 finetune.py \
    --model_name_or_path MiniCPM-2B-sft-bf16 \
    --output_dir output/AdvertiseGenSFT/20240201120000/ \
    --train_data_path data/AdvertiseGenChatML/train.json \
    --eval_data_path data/AdvertiseGenChatML/dev.json \
    --learning_rate 5e-5 --per_device_train_batch_size 14 \
    --per_device_eval_batch_size 32 --bf16 \
    --gradient_accumulation_steps 2 --warmup_steps 100 \
    --max_steps 3000 --weight_decay 0.01 \
    --evaluation_strategy steps --eval_steps 100 \
    --save_strategy steps --save_steps 500 --seed 42 \
    --log_level info --logging_strategy steps --logging_steps 10 \
    --deepspeed configs/ds_config_zero2_offload.json
"""
DISTRIBUTED = r"""
torchrun
    --nproc_per_node 8 \
    --nnodes 1 \
    --node_rank 0 \
    --master_addr localhost \
    --master_port 6001
"""
MINICPMV_COMMON = r"""
    --remove_unused_columns false \
    --label_names "labels" \
    --prediction_loss_only false \
    --do_train \
    --do_eval \
    --model_max_length 2048 \
    --max_slice_nums 9 \
    --max_steps 10000 \
    --eval_steps 1000 \
    --output_dir output/output_minicpmv2 \
    --logging_dir output/output_minicpmv2 \
    --logging_strategy "steps" \
    --per_device_train_batch_size 2 \
    --per_device_eval_batch_size 1 \
    --gradient_accumulation_steps 1 \
    --evaluation_strategy "steps" \
    --save_strategy "steps" \
    --save_steps 1000 \
    --save_total_limit 10 \
    --learning_rate 1e-6 \
    --weight_decay 0.1 \
    --adam_beta2 0.95 \
    --warmup_ratio 0.01 \
    --lr_scheduler_type "cosine" \
    --logging_steps 1 \
    --gradient_checkpointing true \
    --deepspeed ds_config_zero2.json \
    --report_to "tensorboard"
"""
MINICPMV_FULL = rf"""{DISTRIBUTED} finetune.py \
    --model_name_or_path openbmb/MiniCPM-V-2 \
    --llm_type minicpm \
    --data_path path/to/training_data \
    --eval_data_path path/to/test_data \
    --bf16 true \
    --bf16_full_eval true \
    --fp16 false \
    --fp16_full_eval false \
    --tune_vision true \
    --tune_llm true \
    {MINICPMV_COMMON}
"""
MINICPMV_LORA = rf"""{DISTRIBUTED} finetune.py \
    --model_name_or_path openbmb/MiniCPM-V-2 \
    --llm_type minicpm \
    --data_path path/to/training_data \
    --eval_data_path path/to/test_data \
    --bf16 false \
    --bf16_full_eval false \
    --fp16 true \
    --fp16_full_eval true \
    --tune_vision true \
    --tune_llm false \
    --use_lora true \
    --lora_target_modules "llm\..*layers\.\d+\.self_attn\.(q_proj|k_proj)" \
    {MINICPMV_COMMON}
"""
MINICPM_DPO = r"""
python finetune_dpo_trainer.py \
    --model_name_or_path MiniCPM3-4B \
    --train_data_path dpo_train_data.json \
    --eval_data_path dpo_train_data.json \
    --output_dir ./output_dpo_sft \
    --num_train_epochs 3 \
    --per_device_train_batch_size 1 \
    --per_device_eval_batch_size 1 \
    --gradient_accumulation_steps 8 \
    --learning_rate 5e-6 \
    --weight_decay 0.01 \
    --warmup_steps 100 \
    --logging_steps 10 \
    --save_steps 500 \
    --eval_steps 500 \
    --model_max_length 512 \
    --use_lora True \
    --bf16 True \
    --gradient_checkpointing True \
    --dataloader_num_workers 4 \
    --remove_unused_columns False \
    --use_dpo True \
    --dpo_beta 0.1 \
    --sft_loss_weight 0.5
"""
PUBLISHED = {
    "minicpm lora": MINICPM_LORA,
    "minicpm full": MINICPM_FULL,
    "minicpm dpo": MINICPM_DPO,
    "minicpmv full": MINICPMV_FULL,
    "minicpmv lora": MINICPMV_LORA,
}
"""The commands of finetune/*.sh and of sft_dpo_trainer/sft_dpo.sh of OpenBMB/MiniCPM and OpenBMB/MiniCPM-V, with the shell's variables filled in."""


@pytest.fixture
def command() -> Callable[..., list[str]]:
    """Return a function: the words of a published command by its name, with the values of some flags replaced.

    A flag whose new value is None is left out; `launcher=False` leaves out the words in front of the flags.
    """

    def words(name: str, launcher: bool = True, **values: str | Path | None) -> list[str]:
        found = shlex.split(PUBLISHED[name].replace("\\\n", " "))
        if not launcher:
            found = found[found.index("finetune.py") + 1 :]
        for flag, value in values.items():
            at = found.index(f"--{flag}")
            found[at : at + 2] = [] if value is None else [f"--{flag}", str(value)]
        return found

    return words


ZERO2_OFFLOAD = {
    "train_batch_size": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "gradient_accumulation_steps": "auto",
    "gradient_clipping": 1.0,
    "fp16": {
        "enabled": "auto",
        "loss_scale": 0,
        "loss_scale_window": 1000,
        "initial_scale_power": 16,
        "hysteresis": 2,
        "min_loss_scale": 1,
    },
    "bf16": {"enabled": "auto"},
    "zero_optimization": {
        "stage": 2,
        "overlap_comm": True,
        "reduce_scatter": True,
        "contiguous_gradients": True,
        "offload_optimizer": {"device": "cpu"},
        "offload_param": {"device": "cpu"},
    },
    "wall_clock_breakdown": False,
}
"""The settings of the published configs/ds_config_zero2_offload.json."""


@pytest.fixture
def zero2_offload(tmp_path: Path) -> Path:
    """A file with them."""
    file = tmp_path / "ds_config_zero2_offload.json"
    file.write_text(json.dumps(ZERO2_OFFLOAD), encoding="utf-8")
    return file


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """A folder with train.json and dev.json in the shape of the MiniCPM tutorials."""
    rows = [
        [{"role": "user", "content": f"repeat {word} {number}"}, {"role": "assistant", "content": f"{word} {number}"}]
        for number in range(4)
        for word in ("blue", "seven", "下雨", "chair")
    ]
    for name, part in (("train.json", rows), ("dev.json", rows[:4])):
        (tmp_path / name).write_text(json.dumps([{"messages": row} for row in part], ensure_ascii=False), "utf-8")
    return tmp_path
