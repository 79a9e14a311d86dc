"""Setup: where and how a run computes, and where it talks to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console

from ..locate import locate
from ..models.weights import fingerprint
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
        setup.say(f"{several}; {form.what}. A step has {_step(config, ranks.world)}.")
    idle = torch.cuda.device_count() - 1 if device.type == "cuda" and ranks.world == 1 else 0
    if idle > 0:
        setup.say(f"{idle} more GPU{'s are' if idle > 1 else ' is'} idle; distributed.processes=auto uses all of them.")
    for note in (*ranks.notes, *notes):
        setup.say(note)
    return setup


def conditions(config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """Return what decides about the last bits of a run beside its settings, data and versions, as JSON types.

    The base model's fingerprint; the device; on a CPU how many threads share a sum, and its instructions.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "model": fingerprint(locate(config.model)),
        "device": name,
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }


def step_rows(config: TrainConfig, world: int) -> int:
    """Return the rows of an optimiser step: the global batch; with `batch_tokens` its batches, over all ranks."""
    settings = config.training
    return (1 if settings.batch_tokens else settings.batch_size) * settings.gradient_accumulation_steps * world


def _step(config: TrainConfig, world: int) -> str:
    count, tokens = step_rows(config, world), config.training.batch_tokens
    return f"{count} rows" if tokens is None else f"{count} batches of at most {tokens:,} tokens"
