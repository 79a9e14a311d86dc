"""Gradient checkpointing by layers: as many are computed again in the backward pass as a memory budget asks for.

What each layer keeps for the backward pass is measured on real forward passes over a few of the longest rows, in the
types of the training. It grows evenly with the rows, so two sizes of a batch tell what the largest one keeps. Which
layers are computed again changes no number, so a run may go on with others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from transformers.modeling_layers import GradientCheckpointingLayer

from ..data.collate import Collator
from ..errors import ConfigError
from ..models.quantise import held_bytes
from ..ops.loss import CHUNK_BYTES
from .objective import Objective
from .optimizers import learners
from .rows import Rows
from .settings import TrainConfig
from .setup import Setup

GIB = 2**30
SPARE = 0.1
"""The share of the budget left for what is not counted: the workspace of kernels, the allocator's gaps, libraries."""
LOSS_CHUNKS = 4
"""Float32 tensors of a chunk's logits that the loss holds at most at one time."""
MOMENTS = {"adamw": 8, "adamw_8bit": 2, "paged_adamw": 0, "paged_adamw_8bit": 0, "adafactor": 0, "muon": 8}
"""Bytes that an optimiser keeps on the device for each number that learns, at most; of the sums of Adafactor's rows and
columns nothing is counted. What is paged may leave the device."""
ROUNDED = {"kahan": (10, 4), "stochastic": (4, 2)}
"""The same for weights in bfloat16 alone, by `tuning.master_weights`; and where moments are held in 8 bits."""


@dataclass(frozen=True)
class Kept:
    """Bytes that a forward pass keeps for the backward pass.

    `layers` in the order of their computation; `plain`: what each keeps; `again`: what stays of it where it is computed
    again, which is its input; `rest`: what is kept beside the layers.
    """

    layers: tuple[nn.Module, ...]
    plain: tuple[int, ...]
    again: tuple[int, ...]
    rest: int

    def grown(self, other: Kept, factor: float) -> Kept:
        """Return what is kept `factor` times as far beyond `self` as `other` is."""

        def far(one: int, two: int) -> int:
            return round(one + factor * (two - one))

        return Kept(
            self.layers,
            tuple(map(far, self.plain, other.plain)),
            tuple(map(far, self.again, other.again)),
            far(self.rest, other.rest),
        )

    @property
    def worth(self) -> list[int]:
        """The numbers of the layers that keep less when computed again: those that gradients pass through."""
        return [number for number, plain in enumerate(self.plain) if self.again[number] < plain]

    def peak(self, chosen: Sequence[int]) -> int:
        """Return the largest sum, with these layers computed again.

        It is all that is kept when the backward pass begins, or what is still kept, and one layer in full, where that
        layer is computed again.
        """
        below, peak = self.rest, 0
        for number, plain in enumerate(self.plain):
            again = number in chosen
            below += self.again[number] if again else plain
            peak = max(peak, below + (plain if again else 0))
        return max(peak, below)

    def fewest(self, room: int) -> list[int]:
        """Return the fewest layers to be computed again so that the peak fits into `room`, or else is the lowest.

        The first ones in the model, as what the later ones have kept is gone when they are computed again; or those
        that save most.
        """
        largest = sorted(self.worth, key=lambda number: self.again[number] - self.plain[number])
        choices = [order[:count] for count in range(len(largest) + 1) for order in (self.worth, largest)]
        lowest = min(choices, key=self.peak)
        return sorted(next((choice for choice in choices if self.peak(choice) <= room), lowest))


def checkpoint_layers(config: TrainConfig, setup: Setup, objective: Objective, rows: Rows, collator: Collator) -> None:
    """Switch gradient checkpointing on as the settings say, and say which layers it is.

    Raises:
        ConfigError: layers are to be chosen, and the model's cannot be.
    """
    asked, model = config.training.gradient_checkpointing, objective.inner
    if isinstance(asked, bool):
        if asked:
            compute_again(model)
        return
    kept, tokens = _largest(config, setup, objective, rows, replace(collator, share=False))
    if not kept.layers:
        raise ConfigError(
            f"training.gradient_checkpointing={asked}: transformers computes the layers of {type(model).__name__} "
            "again all or none. Give true or false."
        )
    if asked == "auto":
        fixed, budget = _fixed(config, setup, objective), _budget(config, setup)
        room = int(budget * (1 - SPARE)) - sum(fixed.values())
        chosen = kept.fewest(room)
    else:
        chosen = kept.worth[:asked]
    compute_again(model, kept, chosen)
    said = f"Gradient checkpointing: {len(chosen)} of {len(kept.worth)} layers are computed again"
    if asked != "auto":
        setup.say(f"{said}.")
        return
    fixed["activations"] = kept.peak(chosen)
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in fixed.items())
    setup.say(
        f"{said}: with the largest batch ({tokens:,} tokens) training takes about {sum(fixed.values()) / GIB:.2f} of "
        f"{budget / GIB:.2f} GiB, {SPARE:.0%} of which are left free ({parts})."
    )
    if fixed["activations"] > room:
        setup.say(
            "  That is more than may be used, and no choice of layers takes less: lower training.batch_size (with more "
            "gradient_accumulation_steps) or data.max_length, or expect to run out of memory."
        )


def compute_again(model: Any, kept: Kept | None = None, chosen: Sequence[int] = ()) -> None:
    """Let layers of a transformers model be computed again in the backward pass: of `kept` those chosen, else all."""
    # transformers 5.23 calls activation checkpointing what 5.17 calls gradient checkpointing
    new = hasattr(model, "activation_checkpointing_enable")
    (model.activation_checkpointing_enable if new else model.gradient_checkpointing_enable)({"use_reentrant": False})
    # It lets the embeddings require gradients, which only the reentrant form needs: layers below the lowest one that
    # learns would be gone through backwards for nothing.
    model.disable_input_require_grads()
    for number, layer in enumerate(kept.layers if kept is not None else ()):
        layer.gradient_checkpointing = number in chosen  # type: ignore[assignment]


def kept_by(objective: Objective, batch: dict[str, Any]) -> Kept:
    """Return what a forward pass over a batch keeps: each storage once, parameters not counted.

    What is kept inside the layers is let go at once, so no more memory is needed than for one layer; there is no
    backward pass. Nothing else changes: neither what is drawn at random later nor what the objective has measured.
    """
    own = {parameter.untyped_storage().data_ptr() for parameter in objective.parameters()}
    plain: dict[nn.Module, int] = {}
    again: dict[nn.Module, int] = {}
    outside: dict[int, torch.UntypedStorage] = {}  # held, so that no other takes its address
    inside: dict[int, torch.UntypedStorage] = {}
    current: list[nn.Module] = []

    def pack(tensor: Tensor) -> Tensor | None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and storage.data_ptr() not in outside:
            (inside if current else outside)[storage.data_ptr()] = storage
        return None if current else tensor

    def unpack(tensor: Tensor) -> Tensor:  # the loss goes backwards inside the forward pass: that is not kept
        outside.pop(tensor.untyped_storage().data_ptr(), None)
        return tensor

    def enter(layer: nn.Module, args: Any, named: dict[str, Any]) -> None:
        first, *shared = _tensors((*args, *named.values()))
        again[layer] = again.get(layer, 0) + first.untyped_storage().nbytes() * torch.is_grad_enabled()
        outside.update({one.untyped_storage().data_ptr(): one.untyped_storage() for one in shared})
        current.append(layer)

    def leave(layer: nn.Module, *_: Any) -> None:
        current.pop()
        plain[layer] = plain.get(layer, 0) + sum(storage.nbytes() for storage in inside.values())
        inside.clear()

    layers = [module for module in objective.modules() if isinstance(module, GradientCheckpointingLayer)]
    handles = [layer.register_forward_pre_hook(enter, with_kwargs=True) for layer in layers]
    handles += [layer.register_forward_hook(leave) for layer in layers]
    was_training, measured, objective.measures = objective.training, objective.measures, {}
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    try:
        with torch.random.fork_rng(devices), saved_tensors_hooks(pack, unpack):
            objective.train()(**batch)
    finally:
        objective.measures = measured
        objective.train(was_training)
        for handle in handles:
            handle.remove()
    rest = sum(storage.nbytes() for storage in outside.values())
    return Kept(tuple(plain), tuple(plain.values()), tuple(again[layer] for layer in plain), rest)


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def _largest(
    config: TrainConfig, setup: Setup, objective: Objective, rows: Rows, collator: Collator
) -> tuple[Kept, int]:
    """Return what the largest batch keeps, and its tokens with padding.

    A stream's longest row is not known: it is taken to have as many tokens as a row may have.
    """
    if rows.train is None:
        item = max(rows.few(), key=lambda one: collator([one])["input_ids"].numel())
        longest = rows.items.options.budget or config.data.max_length * (2 if rows.pairs else 1)
    else:
        item = rows.items[int(rows.items.lengths.argmax())]
        longest = collator([item])["input_ids"].numel()
    least = 2 if rows.work.options.answers == "judged" else 1  # KTO compares the rows of a batch
    kind, device = setup.precision.compute, next(objective.parameters()).device

    def kept(count: int) -> tuple[Kept, int]:
        batch: Any = collator([item] * count)
        moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}
        if "pixel_values" in moved:
            moved["pixel_values"] = [one.to(device) for one in moved["pixel_values"]]
        with torch.autocast(device.type, kind, enabled=kind != torch.float32):
            return kept_by(objective, moved), batch["input_ids"].numel()

    one, tokens = kept(least)
    largest = config.training.batch_tokens or longest * config.training.batch_size
    if largest == tokens:
        return one, tokens
    two, more = kept(2 * least)
    return one.grown(two, (largest - tokens) / (more - tokens)), largest


def _fixed(config: TrainConfig, setup: Setup, objective: Objective) -> dict[str, int]:
    """Return what is held beside activations, in bytes: whatever the batch is."""
    names = [name for name, _ in objective.named_parameters()]
    learning = learners(objective, dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0))
    sizes = [one.parameter.numel() * one.parameter.element_size() for one in learning]
    gradients = max(sizes) if config.training.optimizer_in_backward else sum(sizes)
    if setup.ranks.world > 1:
        gradients *= 2  # DDP's buckets
    moments = sum(_moment_bytes(config, one.kind) * one.parameter.numel() for one in learning)
    return {
        "weights": held_bytes(objective),
        "gradients": gradients,
        "moments": moments,
        "loss": LOSS_CHUNKS * CHUNK_BYTES,
    }


def _moment_bytes(config: TrainConfig, kind: str) -> int:
    """Return what the optimiser keeps of a number, in bytes; tables are not held in 8 bits."""
    optimizer = config.training.optimizer
    eight = optimizer == "adamw_8bit" and kind != "table"
    if config.bf16_weights:
        rounding = config.tuning.master_weights
        return ROUNDED[rounding][eight]
    return 8 if optimizer == "adamw_8bit" and not eight else MOMENTS[optimizer]


def _budget(config: TrainConfig, setup: Setup) -> int:
    """Return the bytes that training may take in all: as told, or what the GPU has left with what we hold already."""
    if config.training.memory_budget is not None:
        return config.training.memory_budget
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(setup.device)
    return free + torch.cuda.memory_reserved(setup.device)
