"""llamafactory: supervised fine-tuning by LLaMA-Factory's training command, to measure it beside tunesmith."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import MachineError


def fine_tune(columns: Mapping[str, list[list[int]]], arguments: Mapping[str, Any], callbacks: list[Any]) -> None:
    """Train LoRA adapters on all linear layers.

    `columns`: input_ids, labels and attention_mask of the rows, taken in their order; they are handed over as rows that
    are tokenised already. `arguments` are LLaMA-Factory's own; what makes it fast here is set: no gradient
    checkpointing (its default), torch's attention, padding to the longest row of a batch (a multiple of 8, as it does).

    Raises:
        MachineError: LLaMA-Factory is not installed, or cannot be imported.
    """
    try:
        from datasets import Dataset, DatasetDict
        from llamafactory.train.tuner import run_exp
    except ImportError as error:
        raise MachineError(f"LLaMA-Factory cannot be imported ({error}). Run: pip install llamafactory") from None

    rows = Path(arguments["output_dir"]).with_suffix(".tokenised")
    DatasetDict({"train": Dataset.from_dict(dict(columns))}).save_to_disk(str(rows))
    told = {
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_target": "all",
        "lora_dropout": 0.0,
        "dataset": "tokenised",
        "tokenized_path": str(rows),
        "template": "empty",
        "disable_shuffling": True,
        "disable_gradient_checkpointing": True,
        "flash_attn": "sdpa",
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "plot_loss": False,
    }
    run_exp({**told, **arguments}, callbacks)
