"""The cache folder: where it is told to be, whole or not there."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from tunesmith.data.cache import DAYS, cache_folder, filling, prune, used
from tunesmith.errors import MachineError


def test_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own" / "rows"
    monkeypatch.delenv("TUNESMITH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "tunesmith" / "rows"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "tunesmith" / "rows"


def test_whole_or_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "rows"
    with pytest.raises(ValueError, match="in the middle"), filling(folder) as aside:
        (aside / "a").write_text("half")
        raise ValueError("in the middle")
    assert list(folder.parent.iterdir()) == []
    with filling(folder) as aside:
        (aside / "a").write_text("whole")
    assert (folder / "a").read_text() == "whole" and list(folder.parent.iterdir()) == [folder]


def test_another_process_was_faster(tmp_path: Path) -> None:
    folder = tmp_path / "rows"
    with filling(folder) as aside:
        (aside / "a").write_text("second")
        with filling(folder) as other:
            (other / "a").write_text("first")
    assert (folder / "a").read_text() == "first" and list(tmp_path.iterdir()) == [folder]


def test_a_full_disk_and_a_folder_that_cannot_be(tmp_path: Path) -> None:
    wanted = r"the disk is full.*TUNESMITH_CACHE=FOLDER.*data.streaming=true"
    with pytest.raises(MachineError, match=wanted), filling(tmp_path / "rows"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be written to"), filling(tmp_path / "file" / "rows"):
        pass


def test_what_nobody_uses_is_deleted_at_last(tmp_path: Path) -> None:
    long_ago = time.time() - (DAYS + 1) * 86400
    for name in ("old", "old but used", "new"):
        (tmp_path / name).mkdir()
    for name in ("old", "old but used"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    used(tmp_path / "old but used")
    used(tmp_path / "gone")
    prune(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old but used"]
