"""compare(): two adapters beside each other: base, settings, what they add to each layer, and logits on rows of data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import AdapterError
from ..models.adapter import base_of
from ..models.load import load
from ..models.rows import first_rows
from .folder import Adapter, Pair
from .overlap import cosine, inner, norm

LONGEST, LAST = 1024, 64
"""Tokens of a row that are read, and how many positions at its end are compared."""
_UNTOLD = {"base_model_name_or_path", "inference_mode", "peft_version", "revision", "auto_mapping"}


@dataclass(frozen=True)
class Layer:
    """What both add to one layer: the norms of dW, and the cosine between them.

    A norm is None where the adapter does not act on the layer; the cosine is None then, and where shapes differ, and NaN
    where a dW is zero.
    """

    name: str
    norms: tuple[float | None, float | None]
    cosine: float | None


@dataclass(frozen=True)
class Comparison:
    """`same_base`: by fingerprint; None where one does not say. `settings`: name -> both values, where they differ.

    `layers`: the largest norms first. `whole`: all layers as one vector. `trained`: tensors trained in full beside each.
    """

    same_base: bool | None
    settings: dict[str, tuple[Any, Any]]
    layers: list[Layer]
    whole: Layer
    trained: tuple[int, int]


@dataclass(frozen=True)
class LogitsApart:
    """How far the logits of both models are apart on rows of data.

    `largest` and `mean` are absolute differences of logits; at `changed` of `positions` another token is the likeliest.
    """

    rows: int
    positions: int
    largest: float
    mean: float
    changed: int


def compare(first: Adapter, second: Adapter) -> Comparison:
    """Compare two adapters by their files alone; no base is loaded, and no dW is built (`overlap.py`).

    Raises:
        AdapterError: files are missing or damaged.
    """
    prints = [one.identity.get("base_fingerprint") for one in (first, second)]
    names = [*first.pairs, *(name for name in second.pairs if name not in first.pairs)]
    layers = [_layer(name, first.pairs.get(name), second.pairs.get(name)) for name in names]
    return Comparison(
        same_base=None if None in prints else prints[0] == prints[1],
        settings=_settings(first.config, second.config),
        layers=sorted(layers, key=lambda layer: -max(size or 0.0 for size in layer.norms)),
        whole=_whole(first, second),
        trained=(len(first.trained), len(second.trained)),
    )


def logits_apart(
    names: tuple[str, str], files: Sequence[str], rows: int, device: str | None = None, dtype: str | None = None
) -> LogitsApart:
    """Let both models read the first rows of the files, one model after the other, and compare their logits.

    The rows are those of the first model's chat format; of each the last `LAST` positions are compared.

    Raises:
        UserError: a model or a file cannot be used, or the models do not have the same vocabulary.
    """
    loaded = load(names[0], device=device, dtype=dtype)
    taken = first_rows(files, loaded, rows, LONGEST)
    before = [_logits(loaded.model, row.inputs) for row in taken]
    del loaded
    other = load(names[1], device=device, dtype=dtype).model
    largest = total = 0.0
    positions = changed = numbers = 0
    for row, wanted in zip(taken, before, strict=True):
        found = _logits(other, row.inputs)
        if found.shape != wanted.shape:
            raise AdapterError(
                f"'{names[0]}' has logits for {wanted.shape[-1]} tokens, '{names[1]}' for {found.shape[-1]}: models with "
                "other vocabularies cannot be compared on rows of tokens."
            )
        apart = (found - wanted).abs()
        largest, total = max(largest, float(apart.max())), total + float(apart.double().sum())
        positions, numbers = positions + len(apart), numbers + apart.numel()
        changed += int((found.argmax(-1) != wanted.argmax(-1)).sum())
    return LogitsApart(len(taken), positions, largest, total / numbers, changed)


@torch.no_grad()
def _logits(model: Any, inputs: dict[str, Any]) -> Tensor:
    """Return the logits (T, V) of the last positions of a row, float32 on the CPU."""
    device = model.device
    moved = {
        name: [one.to(device) for one in value] if isinstance(value, list) else value.to(device)
        for name, value in inputs.items()
    }
    logits: Tensor = model(**moved).logits[0, -LAST:].float().cpu()
    return logits


def _settings(first: dict[str, Any], second: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings of adapter_config.json that differ; a list of targets is a set."""

    def plain(value: Any) -> Any:
        return sorted(value, key=str) if isinstance(value, list) else value or None

    both = {key: (plain(first.get(key)), plain(second.get(key))) for key in sorted({*first, *second} - _UNTOLD)}
    return {key: values for key, values in both.items() if values[0] != values[1]}


def _layer(name: str, first: Pair | None, second: Pair | None) -> Layer:
    norms = (None if first is None else norm(first), None if second is None else norm(second))
    alike = first is not None and second is not None and first.shape == second.shape
    return Layer(name, norms, cosine(first, second) if alike and first and second else None)


def _whole(first: Adapter, second: Adapter) -> Layer:
    """Return all layers as one: norms are roots of sums of squares, and layers that only one has are orthogonal."""
    sizes = [math.sqrt(sum(norm(pair) ** 2 for pair in one.pairs.values())) for one in (first, second)]
    both = (
        inner(pair, second.pairs[name])
        for name, pair in first.pairs.items()
        if name in second.pairs and second.pairs[name].shape == pair.shape
    )
    size = sizes[0] * sizes[1]
    return Layer("all", (sizes[0], sizes[1]), sum(both) / size if size else math.nan)


def same_base(adapters: Sequence[Adapter]) -> str:
    """Return why adapters do not stand on one base, or an empty string; without a fingerprint its folder decides.

    Raises:
        AdapterError: an adapter without a fingerprint whose base is not there.
    """
    prints = [one.identity.get("base_fingerprint") for one in adapters]
    if None in prints:
        folders = [base_of(one.folder).resolve() for one in adapters]
        apart = next((n for n, folder in enumerate(folders) if folder != folders[0]), None)
    else:
        apart = next((n for n, value in enumerate(prints) if value != prints[0]), None)
    if apart is None:
        return ""
    bases = [one.identity.get("base") or one.config.get("base_model_name_or_path") for one in adapters]
    return (
        f"'{adapters[0].name}' was trained on '{bases[0]}', '{adapters[apart].name}' on another base ('{bases[apart]}')"
    )
