"""TRL's SFTTrainer on the same ids and labels, in batches of similar length padded to their longest row."""

from __future__ import annotations

from ...edges import trl
from ..clock import Clock
from ..job import ALPHA, LEARNING_RATE, RANK, Job


def train(job: Job) -> tuple[list[int], list[dict[str, float]]]:
    """Train, and return the order of the rows and what each step took."""
    clock = Clock()
    arguments = {
        "output_dir": job.output,
        "max_steps": job.steps,
        "per_device_train_batch_size": job.batch_size,
        "learning_rate": LEARNING_RATE,
        "use_cpu": not job.bf16,
        "bf16": job.bf16,
    }
    trl.fine_tune(job.model, job.ids.columns(job.order), arguments, {"r": RANK, "lora_alpha": ALPHA}, [clock])
    return job.ids.orders[job.order], clock.steps
