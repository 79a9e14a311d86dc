"""A folder appears whole or not at all, and others can read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tunesmith.aside import free_place, written_aside
from tunesmith.errors import ConfigError, MachineError


def test_it_appears_whole(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "old").write_text("of a killed command", "utf-8")
    mask = os.umask(0o022)
    try:
        with written_aside(tmp_path / "out", "--to") as aside:
            (aside / "x").write_text("1", "utf-8")
            (aside / "x").chmod(0o600)
            assert not (tmp_path / "out").exists()
    finally:
        os.umask(mask)
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and os.listdir(tmp_path / "out") == ["x"]
    assert (tmp_path / "out" / "x").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError(28, "No space left on device"), MachineError, "the disk is full.* another folder with --to"),
        (OSError(30, "Read-only file system"), MachineError, "Read-only"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (ValueError("x"), ValueError, "x"),
    ],
    ids=["full", "read-only", "Ctrl-C", "fault"],
)
def test_nothing_is_left_of_what_failed(
    error: BaseException, kind: type[BaseException], said: str | None, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=said), written_aside(tmp_path / "out", "--to") as aside:
        (aside / "x").write_text("1", "utf-8")
        raise error
    assert not list(tmp_path.iterdir())


def test_where_it_cannot_go(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(ConfigError, match="exists already.*with --output"):
        free_place(tmp_path / "file", "--output")
    with pytest.raises(MachineError, match="cannot be made"):
        free_place(tmp_path / "file" / "inner" / "out", "--to")
    assert free_place(tmp_path / "a" / "b", "--to") == tmp_path / "a" / "b" and (tmp_path / "a").is_dir()
