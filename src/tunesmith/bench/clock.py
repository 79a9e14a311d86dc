"""Clock: a callback of HF's Trainer that notes time, processor time and loss of every step."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback


class Clock(TrainerCallback):
    """Notes each logged step; seconds run from the end of one step to that of the next, data and optimiser included."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._mark = (0.0, 0.0)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start the clock."""
        self._mark = (time.perf_counter(), time.process_time())

    def on_log(self, *_: Any, logs: dict[str, Any] | None = None, **__: Any) -> None:
        """Note a step. That its loss is a number already means that a GPU has finished it."""
        if logs and "loss" in logs:
            now = (time.perf_counter(), time.process_time())
            self.steps.append(
                {
                    "seconds": now[0] - self._mark[0],
                    "processor_seconds": now[1] - self._mark[1],
                    "loss": float(logs["loss"]),
                    "gradient_norm": float(logs.get("grad_norm", "nan")),
                }
            )
            self._mark = now
