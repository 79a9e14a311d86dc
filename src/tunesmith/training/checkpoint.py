"""Checkpoints that are whole or not there: written aside, synced, listed with sizes and SHA-256, renamed last.

A checkpoint is a folder `checkpoint-<step>`. It gets that name only when every file in it is on the disk and listed
in manifest.json. Before one is used its files are compared with the list; one that fails is put out of the way and
the one before it is taken.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from ..errors import CheckpointError, MachineError
from ..runs import read_json, share, sync, write_json

PREFIX, MANIFEST = "checkpoint-", "manifest.json"


def folder_name(step: int) -> str:
    """Return the name of the checkpoint at an optimiser step."""
    return f"{PREFIX}{step}"


def write(parent: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """Make the folder `parent`/`name`: `fill` writes its files into a hidden folder that is renamed last.

    Raises:
        MachineError: the disk is full or cannot be written; nothing half-written is left.
    """
    aside = parent / f".{name}.partial"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        fill(aside)
        manifest = {}
        for file in sorted(path for path in aside.rglob("*") if path.is_file()):
            share(file)
            sync(file)
            manifest[str(file.relative_to(aside))] = {"bytes": file.stat().st_size, "sha256": _hash(file)}
        write_json(aside / MANIFEST, {"files": manifest})
        for folder in [path for path in aside.rglob("*") if path.is_dir()]:
            sync(folder)
        _remove(parent / name)
        aside.rename(parent / name)
        sync(parent)
    except Exception as error:
        shutil.rmtree(aside, ignore_errors=True)
        # safetensors and torch report a full disk in their own words and types
        if isinstance(error, OSError) or "No space left" in str(error) or shutil.disk_usage(parent).free < 2**20:
            raise MachineError(
                f"'{parent / name}' could not be written ({error}). What was saved before it is untouched. Make "
                "room, then run the same command again: it resumes."
            ) from error
        raise
    return parent / name


def faults(folder: Path) -> list[str]:
    """Return what is wrong with a checkpoint: nothing for a good one, else one short text a file."""
    try:
        manifest = read_json(folder / MANIFEST)
    except ValueError:
        return [f"{MANIFEST} is damaged"]
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        return [f"{MANIFEST} is missing"]
    found = []
    for name, entry in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            found.append(f"{name} is missing")
        elif file.stat().st_size != entry["bytes"]:
            found.append(f"{name} has {file.stat().st_size} bytes instead of {entry['bytes']}")
        elif _hash(file) != entry["sha256"]:
            found.append(f"{name} has another content than was written")
    return found


def steps(parent: Path) -> list[int]:
    """Return the steps of all checkpoints, oldest first, good or not."""
    names = [path.name.removeprefix(PREFIX) for path in parent.glob(f"{PREFIX}*") if path.is_dir()]
    return sorted(int(name) for name in names if name.isdigit())


def newest_good(parent: Path, say: Callable[[str], None]) -> int | None:
    """Return the step of the newest checkpoint that is whole, or None if there is none at all.

    What a kill left half-written is removed; a damaged checkpoint is renamed to `damaged-...` and said.

    Raises:
        CheckpointError: there are checkpoints, but none is whole.
    """
    if not parent.is_dir():
        return None
    for leftover in parent.glob(".*.partial"):
        shutil.rmtree(leftover)
    for leftover in parent.glob(".*.removed"):
        shutil.rmtree(leftover)
    found = steps(parent)
    for step in reversed(found):
        folder = parent / folder_name(step)
        wrong = faults(folder)
        if not wrong:
            return step
        target = parent / f"damaged-{folder.name}"
        number = 1
        while target.exists():
            number += 1
            target = parent / f"damaged-{folder.name}-{number}"
        folder.rename(target)
        say(f"{folder} is damaged ({'; '.join(wrong[:3])}). It is now '{target.name}', and the one before it is used.")
    if found:
        raise CheckpointError(
            f"None of the {len(found)} checkpoints in '{parent}' is whole; they are now named 'damaged-...'. "
            "Start again with training.resume=never."
        )
    return None


def prune(parent: Path, keep: int, protect: set[int]) -> None:
    """Remove all but the newest `keep` checkpoints; those in `protect` stay besides."""
    for step in steps(parent)[:-keep]:
        if step not in protect:
            _remove(parent / folder_name(step))


def _remove(folder: Path) -> None:
    """Remove a folder so that it is never seen half removed under its name."""
    if folder.exists():
        aside = folder.with_name(f".{folder.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)
        folder.rename(aside)
        shutil.rmtree(aside)


def _hash(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
