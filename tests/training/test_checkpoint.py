"""Checkpoints are whole or not there; a damaged one is noticed and the one before it is used."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tunesmith.errors import CheckpointError, MachineError
from tunesmith.training import checkpoint


def make(parent: Path, step: int) -> Path:
    """Write a small checkpoint with files in two levels."""

    def fill(folder: Path) -> None:
        (folder / "weights.bin").write_bytes(bytes(range(256)) * step)
        (folder / "inner").mkdir()
        (folder / "inner" / "state.json").write_text(json.dumps({"step": step}))

    return checkpoint.write(parent, checkpoint.folder_name(step), fill)


def cut(folder: Path) -> None:
    file = folder / "weights.bin"
    file.write_bytes(file.read_bytes()[:-1])


def flip(folder: Path) -> None:
    data = bytearray((folder / "weights.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "weights.bin").write_bytes(data)


DAMAGES = {
    "cut": cut,
    "flipped bit": flip,
    "missing file": lambda folder: (folder / "weights.bin").unlink(),
    "missing inner file": lambda folder: (folder / "inner" / "state.json").unlink(),
    "empty file": lambda folder: (folder / "weights.bin").write_bytes(b""),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "cut manifest": lambda folder: (folder / "manifest.json").write_text("{"),
    "other manifest": lambda folder: (folder / "manifest.json").write_text("[]"),
    "empty folder": lambda folder: [shutil.rmtree(folder), folder.mkdir()],
}


def test_written_checkpoint_is_good(tmp_path: Path) -> None:
    folder = make(tmp_path, 3)
    assert folder.name == "checkpoint-3" and checkpoint.faults(folder) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_are_for_whom_the_umask_says(umask: int, mode: int, tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "inner").mkdir()
        for name in ("weights.bin", "inner/state.json"):
            (folder / name).touch(mode=0o600)  # as safetensors does

    before = os.umask(umask)
    try:
        folder = checkpoint.write(tmp_path, "result", fill)
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}
    assert found == dict.fromkeys(("weights.bin", "state.json", "manifest.json"), mode)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_damage_is_noticed_and_the_one_before_is_used(damage, tmp_path: Path) -> None:
    make(tmp_path, 3), make(tmp_path, 12)
    damage(tmp_path / "checkpoint-12")
    said: list[str] = []
    assert checkpoint.newest_good(tmp_path, said.append) == 3
    assert len(said) == 1 and "checkpoint-12 is damaged" in said[0] and "damaged-checkpoint-12" in said[0]
    assert (tmp_path / "damaged-checkpoint-12").is_dir()  # kept for a look, out of the way
    assert checkpoint.newest_good(tmp_path, said.append) == 3 and len(said) == 1


def test_none_good_is_an_error_and_none_at_all_is_not(tmp_path: Path) -> None:
    assert checkpoint.newest_good(tmp_path / "missing", print) is None
    assert checkpoint.newest_good(tmp_path, print) is None
    for step in (3, 6):
        cut(make(tmp_path, step))
    with pytest.raises(CheckpointError, match="None of the 2 checkpoints"):
        checkpoint.newest_good(tmp_path, lambda text: None)


def test_failure_while_writing_leaves_the_old_one(tmp_path: Path) -> None:
    make(tmp_path, 3)

    def full(folder: Path) -> None:
        (folder / "weights.bin").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(MachineError, match=r"could not be written.*No space left.*untouched"):
        checkpoint.write(tmp_path, "checkpoint-3", full)
    with pytest.raises(MachineError):
        checkpoint.write(tmp_path, "checkpoint-6", full)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3"]
    assert checkpoint.faults(tmp_path / "checkpoint-3") == []

    def wrong(folder: Path) -> None:
        raise KeyError("a fault of ours")

    with pytest.raises(KeyError):
        checkpoint.write(tmp_path, "checkpoint-6", wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-3"]


def test_leftovers_of_a_kill_are_removed(tmp_path: Path) -> None:
    make(tmp_path, 3)
    for name in (".checkpoint-6.partial", ".checkpoint-1.removed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.bin").write_bytes(b"half")
    assert checkpoint.newest_good(tmp_path, print) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-3"]


def test_prune_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in (1, 2, 9, 10, 11):
        make(tmp_path, step)
    checkpoint.prune(tmp_path, keep=2, protect={2})
    assert checkpoint.steps(tmp_path) == [2, 10, 11]


def test_writing_again_replaces(tmp_path: Path) -> None:
    make(tmp_path, 3)
    folder = checkpoint.write(tmp_path, "checkpoint-3", lambda aside: (aside / "only.txt").write_text("x") and None)
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "only.txt"]
    assert checkpoint.faults(folder) == []
