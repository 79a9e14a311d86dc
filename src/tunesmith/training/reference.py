"""What the model gave to every answer before training: computed once before the first step and kept in the run folder.

So no second model is held in memory, whatever the tuning is, and a step computes as much as in sft. A resumed run reads the
same numbers again.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from .. import lookup
from ..data.collate import Collator
from ..data.order import Deal
from ..data.pack import PackedRows
from ..data.prepared import Prepared
from ..locate import locate
from ..runs import RunFolder, share
from .preferences import Preferences
from .rows import Rows
from .settings import OBJECTIVES, TrainConfig
from .setup import Setup

REFERENCE = "reference.safetensors"
"""In the run folder: the log-probabilities of both answers of each row, (rows, 2), of training and validation."""


def with_reference(config: TrainConfig, setup: Setup, objective: Any, rows: Rows, run: RunFolder) -> Rows:
    """Return the rows with what the model gives to their answers, before a checkpoint's weights are put into it."""
    if not lookup.find(OBJECTIVES, config.objective.method).REFERENCE:
        return rows
    parts = {name: part for name, part in (("train", rows.train), ("validation", rows.validation)) if part is not None}
    file, key = run.path / REFERENCE, _key(config, setup, parts)
    if not setup.ranks.tell(_is_of(run, key) if setup.ranks.lead else None):
        with Progress(console=setup.console, transient=True) as bar:
            task = bar.add_task("The model before training", total=sum(map(len, parts.values())))
            found = {
                name: _look(config, setup, objective, part, rows.collator, lambda n: bar.advance(task, n))
                for name, part in parts.items()
            }
        if setup.ranks.lead:
            aside = file.with_suffix(".part")
            save_file(found, aside, metadata={"key": key})
            share(aside)
            os.replace(aside, file)
        setup.ranks.wait()
    made = {name: replace(parts[name], references=values.numpy()) for name, values in load_file(file).items()}
    train, items = made["train"], rows.items
    items = replace(items, rows=train) if isinstance(items, PackedRows) else train
    return replace(rows, train=train, validation=made.get("validation"), items=items)


@torch.no_grad()
def _look(
    config: TrainConfig, setup: Setup, objective: Preferences, part: Prepared, collator: Collator, done: Any
) -> Tensor:
    """Return the log-probabilities (rows, 2), float32, computed without dropout; each rank computes its batches."""
    size, ranks = config.training.eval_batch_size or config.training.batch_size, setup.ranks
    # the longest first: what does not fit is found at once
    order = torch.argsort(torch.from_numpy(part.lengths), descending=True, stable=True)
    device, kind = next(objective.parameters()).device, setup.precision.compute
    found = torch.zeros(len(part), 2)
    was_training = objective.training
    objective.eval()
    for places in Deal(range(len(part)), size, ranks.rank, ranks.world):
        indexes = order[places]
        batch: Any = collator([part[index] for index in indexes.tolist()])
        moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}
        with torch.autocast(device.type, kind, enabled=kind != torch.float32):
            logps_P2 = objective.answers(**moved)[0]
        found[indexes] = logps_P2[: len(indexes)].float().cpu()
        done(len(indexes) * ranks.world)
    objective.train(was_training)
    return torch.stack(ranks.collect(found)).sum(0)  # a row is 0 in all ranks but one


def _key(config: TrainConfig, setup: Setup, parts: dict[str, Prepared]) -> str:
    """Return a digest of what the numbers depend on: the model's files, tuning, precision and rows."""
    files = [(file.name, file.stat()) for file in sorted(Path(locate(config.model)).iterdir())]
    facts = [
        [[name, stat.st_size, stat.st_mtime_ns] for name, stat in files],
        config.tuning.model_dump(mode="json"),
        str(setup.precision.compute),
    ]
    facts += [[name, len(part), part.fingerprint] for name, part in parts.items()]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _is_of(run: RunFolder, key: str) -> bool:
    """Tell whether the numbers in the run folder are those of this key."""
    file = run.path / REFERENCE
    if not file.is_file():
        return False
    with safe_open(file, "pt") as stored:
        return bool((stored.metadata() or {}).get("key") == key)
