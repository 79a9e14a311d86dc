"""Setup: where and how a run computes, and where it talks to."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from rich.console import Console

from .arguments import Precision, choose_device, choose_precision, reporters
from .distributed.ranks import Ranks
from .distributed.sharing import Whole, form_of
from .settings import TrainConfig


@dataclass(frozen=True)
class Setup:
    """Where and how a run computes, and where it talks to. `form`: how the model lies on the ranks."""

    device: torch.device
    precision: Precision
    console: Console
    loggers: list[str]
    form: Whole

    @property
    def ranks(self) -> Ranks:
        """The processes of the run."""
        return self.form.ranks

    def say(self, text: str) -> None:
        """Print a line for the user."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)


def choose(config: TrainConfig, ranks: Ranks = Ranks()) -> Setup:  # noqa: B008 - it cannot be changed
    """Choose device, precision, loggers and how the model lies on the ranks, and say so. Only rank 0 talks."""
    device = choose_device(config)
    if device.type == "cpu":
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # DeepSpeed, where it is installed, warns that it had to guess
    form, notes = form_of(config.distributed, ranks, device)
    console = Console(stderr=True, quiet=not ranks.lead)
    setup = Setup(device, choose_precision(config, device), console, reporters(config), form)
    setup.say(f"Device {device.type}; {setup.precision.why}.")
    if ranks.world > 1 or form.shared:
        several = f"{ranks.world} ranks" if ranks.world > 1 else "1 rank"
        setup.say(f"{several}; {form.what}. A step has {step_rows(config, ranks.world)} rows.")
    idle = torch.cuda.device_count() - 1 if device.type == "cuda" and ranks.world == 1 else 0
    if idle > 0:
        setup.say(f"{idle} more GPU{'s are' if idle > 1 else ' is'} idle; distributed.processes=auto uses all of them.")
    for note in (*ranks.notes, *notes):
        setup.say(note)
    return setup


def step_rows(config: TrainConfig, world: int) -> int:
    """Return the rows of an optimiser step: the global batch."""
    return config.training.batch_size * config.training.gradient_accumulation_steps * world
