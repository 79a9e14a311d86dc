"""LLaMA-Factory's training command on the same ids and labels, in batches of similar length."""

from __future__ import annotations

from ...edges import llamafactory
from ..clock import Clock
from ..job import ALPHA, LEARNING_RATE, RANK, Job


def train(job: Job) -> tuple[list[int], list[dict[str, float]]]:
    """Train, and return the order of the rows and what each step took."""
    clock = Clock()
    arguments = {
        "model_name_or_path": job.model,
        "output_dir": job.output,
        "max_steps": job.steps,
        "per_device_train_batch_size": job.batch_size,
        "learning_rate": LEARNING_RATE,
        "lora_rank": RANK,
        "lora_alpha": ALPHA,
        "use_cpu": not job.bf16,
        "bf16": job.bf16,
    }
    llamafactory.fine_tune(job.ids.columns(job.order), arguments, [clock])
    return job.ids.orders[job.order], clock.steps
