"""The plain recipe: HF's Trainer and PEFT's LoRA on the same native model, logits of all positions.

It pads every row to the maximum length, as the published script does; told {"padding": "longest"}, to the longest row
of the batch.
"""

from __future__ import annotations

import warnings
from typing import Any

from ..clock import Clock
from ..job import ALPHA, LEARNING_RATE, RANK, Job


def train(job: Job) -> tuple[list[int], list[dict[str, float]]]:
    """Train, and return the order of the rows and what each step took."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, Trainer, TrainingArguments, set_seed

    from ... import models  # noqa: F401 - registers MiniCPM with transformers

    set_seed(42)
    dtype = torch.bfloat16 if job.bf16 else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job.model, dtype=dtype)
    adapter = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", bias="none", task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # PEFT 0.21 asks transformers 5.23 by an old name
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
        model = get_peft_model(model, adapter)
    arguments = TrainingArguments(
        output_dir=job.output,
        max_steps=job.steps,
        per_device_train_batch_size=job.batch_size,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        use_cpu=not job.bf16,
        bf16=job.bf16,
        train_sampling_strategy="sequential",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    clock = Clock()
    order = job.ids.orders[job.order]
    Trainer(
        model=model,
        args=arguments,
        train_dataset=Padded(job),
        data_collator=collate_longest if job.settings.get("padding") == "longest" else None,
        callbacks=[clock],
    ).train()
    return order, clock.steps


class Padded:
    """The rows in the order of the job, each of the maximum length."""

    def __init__(self, job: Job) -> None:
        self._job, self._order = job, job.ids.orders[job.order]

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, number: int) -> dict[str, Any]:
        """Return a row: input_ids_T, attention_mask_T and labels_T, each of `max_length` T."""
        import torch

        ids, labels = self._job.ids.rows[self._order[number]]
        gap = self._job.max_length - len(ids)
        return {
            "input_ids": torch.tensor(ids + [self._job.ids.pad_id] * gap),
            "attention_mask": torch.tensor([1] * len(ids) + [0] * gap),
            "labels": torch.tensor(labels + [-100] * gap),
        }


def collate_longest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the batch without the columns that are padding in all of its rows."""
    import torch

    stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    length = int(stacked["attention_mask"].sum(1).max())
    return {name: values[:, :length] for name, values in stacked.items()}
