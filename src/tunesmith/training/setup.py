"""Setup: where and how a run computes, and where it talks to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from rich.console import Console

from .arguments import Precision, choose_device, choose_precision, reporters
from .settings import TrainConfig


@dataclass(frozen=True)
class Setup:
    """Where and how a run computes, and where it talks to."""

    device: torch.device
    precision: Precision
    console: Console
    loggers: list[str]

    def say(self, text: str) -> None:
        """Print a line for the user."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def choose(config: TrainConfig) -> Setup:
    """Choose device, precision and loggers, and say so."""
    device = choose_device(config)
    setup = Setup(device, choose_precision(config, device), Console(stderr=True), reporters(config))
    setup.say(f"Device {device.type}; {setup.precision.why}.")
    return setup
