"""Our settings in the words of HF's Trainer, and the precision that is safe on this machine."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from ..errors import ConfigError, MachineError
from .settings import TrainConfig


@dataclass(frozen=True)
class Precision:
    """`load`: the dtype of frozen weights; `compute`: what matrices are multiplied in (autocast); `why`: a sentence."""

    load: torch.dtype
    compute: torch.dtype
    why: str

    @property
    def tolerance(self) -> float:
        """How far two orders of summation may be apart, relative, for a mean loss."""
        return 1e-4 if self.compute == torch.float32 else 2e-2


def choose_device(config: TrainConfig) -> torch.device:
    """Return the device to train on.

    Raises:
        MachineError: a GPU is asked for, or activations are to leave it, and there is none.
        ConfigError: layers are to be checkpointed by a memory budget, and there is neither that nor a GPU.
    """
    if config.training.device == "cuda" and not torch.cuda.is_available():
        raise MachineError("training.device is cuda, but torch sees no CUDA GPU. Use device: cpu, or mend the driver.")
    use_cuda = config.training.device != "cpu" and torch.cuda.is_available()
    if config.training.activation_offload and not use_cuda:
        raise MachineError(
            "training.activation_offload moves activations from the GPU to main memory. This run is on the CPU, where "
            "they are already; leave it out."
        )
    if config.training.gradient_checkpointing == "auto" and config.training.memory_budget is None and not use_cuda:
        raise ConfigError(
            "training.gradient_checkpointing=auto fits a run into what is free on the GPU. This run is on the CPU: say "
            "how much memory it may take, for example training.memory_budget=8GiB, or give true, false or a number."
        )
    return torch.device("cuda" if use_cuda else "cpu")


def choose_precision(config: TrainConfig, device: torch.device) -> Precision:
    """Choose bfloat16 where the hardware has it, else float32; float16 only when asked (with loss scaling).

    Raises:
        MachineError: fp16 on a CPU, or bf16 on a GPU that lacks it.
    """
    asked = "bf16" if config.bf16_weights else config.training.precision
    has_bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if asked == "fp16" and device.type == "cpu":
        raise MachineError("training.precision fp16 needs a GPU; on a CPU float32 is faster and exact (fp32 or auto).")
    if asked == "bf16" and device.type == "cuda" and not has_bf16:
        raise MachineError("training.precision is bf16, but this GPU has no bfloat16. Use auto, fp32 or fp16.")
    if asked == "fp16":
        return Precision(torch.float16, torch.float16, "float16 with loss scaling, as asked")
    if asked == "bf16" or (asked == "auto" and has_bf16):
        return Precision(torch.bfloat16, torch.bfloat16, "bfloat16 for frozen weights, float32 for what learns")
    why = "float32: " + ("as asked" if asked == "fp32" else "exact, and fast on every CPU")
    return Precision(torch.float32, torch.float32, why)


def reporters(config: TrainConfig) -> list[str]:
    """Return the names of the loggers to use, checked to be installed.

    Raises:
        ConfigError: an unknown one.
        MachineError: one that is not installed.
    """
    known = {"tensorboard": "tensorboard", "wandb": "wandb", "swanlab": "swanlab", "mlflow": "mlflow"}
    asked = config.training.report_to
    if asked is None:
        return ["tensorboard"] if importlib.util.find_spec("tensorboard") else []
    names = [name for name in asked if name != "none"]
    for name in names:
        if name not in known:
            raise ConfigError(f"training.report_to: unknown logger '{name}'. Known: {', '.join(known)}, none.")
        if importlib.util.find_spec(known[name]) is None:
            raise MachineError(f"training.report_to: {name} is not installed. Run: pip install {known[name]}")
    return names


def step_counts(config: TrainConfig, rows: int | None, world: int = 1) -> tuple[int, int]:
    """Return (optimiser steps in all, optimiser steps an epoch) for this many training rows, over `world` ranks.

    With `batch_tokens` what is counted are batches, not rows. A stream (None) has no epochs; a tenth of its steps stands
    for one.
    """
    settings = config.training
    if rows is None:
        assert settings.steps is not None  # the settings see to it
        return settings.steps, max(1, settings.steps // 10)
    batches = -(-rows // ((1 if settings.batch_tokens else settings.batch_size) * world))
    per_epoch = -(-batches // settings.gradient_accumulation_steps)
    total = settings.steps if settings.steps is not None else max(1, round(per_epoch * settings.epochs))
    return total, per_epoch


def training_arguments(
    config: TrainConfig,
    folder: Path,
    precision: Precision,
    rows: int | None,
    world: int = 1,
    deepspeed: dict[str, Any] | None = None,
) -> TrainingArguments:
    """Return HF's arguments for this run; checkpoints, evaluation, logging and progress are steered by our own code."""
    settings = config.training
    total, per_epoch = step_counts(config, rows, world)
    warmup = settings.warmup_steps if settings.warmup_steps is not None else round(settings.warmup_ratio * total)
    evaluates = bool(config.data.validation or config.data.validation_share)
    schedule, options = _schedule(config, total, warmup)
    made = TrainingArguments(
        output_dir=str(folder),
        max_steps=total,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.eval_batch_size or settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation_steps,
        learning_rate=config.learning_rate,
        lr_scheduler_type=schedule,
        lr_scheduler_kwargs=options,
        warmup_steps=warmup,
        weight_decay=settings.weight_decay,
        adam_beta1=settings.beta1,
        adam_beta2=settings.beta2,
        adam_epsilon=settings.epsilon,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch",
        seed=settings.seed,
        bf16=precision.compute == torch.bfloat16,
        fp16=precision.compute == torch.float16,
        use_cpu=settings.device == "cpu" or not torch.cuda.is_available(),
        logging_strategy="steps",
        logging_steps=settings.logging_steps,
        logging_nan_inf_filter=False,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=min(settings.eval_steps or per_epoch, total),
        save_strategy="steps",
        save_steps=min(settings.save_steps or per_epoch, total),
        dataloader_pin_memory=torch.cuda.is_available(),
        accelerator_config={"dispatch_batches": False},  # it would cut a stream's batches by their first dimension
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to=[],
        log_level="error",
        ddp_find_unused_parameters=False,
        deepspeed=deepspeed,
    )
    made._n_gpu = min(made.n_gpu, 1)  # one process has one GPU: HF would spread each batch over all it sees
    return made


def _schedule(config: TrainConfig, total: int, warmup: int) -> tuple[str, dict[str, Any]]:
    settings = config.training
    end = settings.min_learning_rate_ratio
    if settings.schedule == "constant":
        return "constant_with_warmup", {}
    if settings.schedule == "wsd":
        decay = max(1, round(settings.decay_ratio * total))
        return "warmup_stable_decay", {"num_decay_steps": min(decay, total - warmup), "min_lr_ratio": end}
    if settings.schedule == "cosine" and end:
        return "cosine_with_min_lr", {"min_lr_rate": end}
    return settings.schedule, {}
