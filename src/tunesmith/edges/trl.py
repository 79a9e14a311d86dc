"""trl: supervised fine-tuning by its SFTTrainer, to measure it beside tunesmith."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import MachineError


def fine_tune(
    model: str,
    columns: Mapping[str, list[list[int]]],
    arguments: Mapping[str, Any],
    adapter: Mapping[str, Any],
    callbacks: list[Any],
) -> None:
    """Train LoRA adapters on all linear layers of a model folder.

    `columns`: input_ids, labels and attention_mask of the rows, taken in their order. `arguments` are those of TRL's
    SFTConfig, `adapter` those of PEFT's LoraConfig; what makes it fast here is set: padding to the longest row of a
    batch, its own loss (in pieces, without the whole logits), no gradient checkpointing.

    Raises:
        MachineError: TRL is not installed, or cannot be imported.
    """
    import torch
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        from datasets import Dataset
        from trl import SFTConfig, SFTTrainer
    except ImportError as error:
        raise MachineError(f"TRL cannot be imported ({error}). Run: pip install trl") from None

    config = SFTConfig(
        **arguments,
        lr_scheduler_type="constant",
        gradient_checkpointing=False,
        train_sampling_strategy="sequential",
        max_length=None,
        packing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.eos_token
    dtype = torch.bfloat16 if arguments["bf16"] else torch.float32
    SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=dtype),
        args=config,
        train_dataset=Dataset.from_dict({name: columns[name] for name in ("input_ids", "labels")}),
        processing_class=tokenizer,
        peft_config=LoraConfig(**adapter, target_modules="all-linear", bias="none", task_type="CAUSAL_LM"),
        callbacks=callbacks,
    ).train()
