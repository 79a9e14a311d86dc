"""Looking at each picture once: where the vision tower does not learn, what it makes of a picture stays the same.

It is computed before the first step, kept on disk, and read in every epoch in place of the picture: the same numbers
without the tower. Where the resampler does not learn either, what it makes of that is kept, which is far smaller.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data.cache import cache_folder, filling, prune, used
from ..data.collate import Collator, PictureLoader
from ..data.types import Example
from ..errors import MachineError
from ..models.sight import towered
from ..runs import check_space
from .objective import Objective
from .rows import Rows
from .setup import Setup

AT_ONCE = 8
"""Pictures that are looked at together."""
_FILE = "slices.safetensors"


@dataclass(frozen=True)
class SeenPictures(PictureLoader):
    """Reads what the model has made of pictures; opens those that it has not looked at (validation, new files)."""

    folder: Path = Path()

    def load(self, example: Example) -> tuple[list[Tensor], list[tuple[int, int]]]:
        """Return what stands for the slices of all pictures, and the stretch of slots of each."""
        loaded: list[Tensor] = []
        slots: list[tuple[int, int]] = []
        for picture in example.pictures:
            file = self.folder / _name(picture.path) / _FILE
            if file.is_file():
                tensors = load_file(file)
                loaded += [tensors[str(number)] for number in range(len(tensors))]
                slots += picture.slots
            else:
                pixels, own = super().load(replace(example, pictures=(picture,)))
                loaded, slots = loaded + pixels, slots + own
        return loaded, slots


def look_once(objective: Objective, rows: Rows, setup: Setup) -> Collator:
    """Return what makes batches: with pictures looked at before, where the tower does not learn.

    A picture that was looked at in an earlier run, with the same weights, is not looked at again.
    """
    model: Any = objective.inner
    if rows.loader is None or rows.train is None or not hasattr(model, "vpm") or _learns(model.vpm):
        return rows.collator
    through = "tower" if _learns(model.resampler) else "resampler"
    parts = [model.vpm] if through == "tower" else [model.vpm, model.resampler]
    slicing = repr(rows.loader.slicing).encode()
    key = hashlib.sha256(slicing + b"".join(_digest(part) for part in parts)).hexdigest()[:40]
    folder = cache_folder().parent / "pictures" / key
    examples = (example for example in rows.train if example.pictures)
    files = {picture.path: picture for example in examples for picture in example.pictures}
    new = [path for path in files if not (folder / _name(path)).is_dir()]
    try:
        check_space(_existing(folder), _size(model, through, [len(files[path].slots) for path in new]), "seen pictures")
        with Progress(console=setup.console, transient=True) as bar:
            task = bar.add_task("Looking at pictures", total=len(new))
            for part in _groups(new):
                _keep(model, through, rows.loader, [(path, folder / _name(path)) for path in part])
                bar.advance(task, len(part))
    except MachineError as error:
        setup.say(f"Pictures go through the vision tower in every epoch: {error}")
        return rows.collator
    used(folder)
    prune(folder.parent)
    what = "tower" if through == "tower" else "tower and the resampler"
    setup.say(
        f"The vision {what} do{'es' if through == 'tower' else ''} not learn: {len(files):,} pictures were looked at once "
        f"({len(files) - len(new):,} of them in an earlier run), with the same numbers; kept in '{folder}'."
    )
    return replace(rows.collator, loader=SeenPictures(rows.loader.slicing, folder))


@torch.no_grad()
def _keep(model: Any, through: str, loader: PictureLoader, places: list[tuple[str, Path]]) -> None:
    """Look at some pictures and write down what the model makes of each of their slices."""
    pixels = [loader.pixels(path) for path, _ in places]
    flat = [one for each in pixels for one in each]
    was_training = model.training
    model.eval()
    made = iter(towered(model.vpm, flat) if through == "tower" else model.seen(flat))
    model.train(was_training)
    for (_, target), each in zip(places, pixels, strict=True):
        with filling(target) as aside:
            save_file({str(n): next(made).cpu().contiguous() for n in range(len(each))}, aside / _FILE)


def _learns(part: torch.nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in part.parameters())


def _digest(part: torch.nn.Module) -> bytes:
    digest = hashlib.sha256()
    for name, tensor in part.state_dict().items():
        data = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {data.dtype} {tuple(data.shape)}".encode())
        digest.update(data.view(torch.uint8).numpy().tobytes())
    return digest.digest()


def _name(path: str) -> str:
    """Return the name of a picture's folder: it changes with the file."""
    try:
        stat = os.stat(path)
        facts = f"{Path(path).resolve()} {stat.st_size} {stat.st_mtime_ns}"
    except (OSError, ValueError):  # a `data:` text
        facts = path
    return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:40]


def _size(model: Any, through: str, slices: list[int]) -> int:
    """Return about how many bytes the pictures take, each with so many slices."""
    config = model.config
    one = config.query_num * config.hidden_size
    if through == "tower":
        one = 2 * (config.scale_resolution // config.patch_size) ** 2 * config.tower.width
    return sum(slices) * one * next(model.vpm.parameters()).element_size()


def _existing(folder: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _groups(paths: list[str]) -> Iterator[list[str]]:
    rest = iter(paths)
    while part := list(islice(rest, AT_ONCE)):
        yield part
