"""The run folder: files whole or not there, one writer, nothing of others touched."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from tunesmith import runs
from tunesmith.errors import ConfigError, MachineError


def test_json_is_old_or_new_never_half(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    runs.write_json(file, {"text": "你好"})
    assert runs.read_json(file) == {"text": "你好"} and "你好" in file.read_text(encoding="utf-8")
    with pytest.raises(TypeError):
        runs.write_json(file, {"bad": object()})
    assert runs.read_json(file) == {"text": "你好"} and os.listdir(tmp_path) == ["a.json"]
    assert runs.read_json(tmp_path / "missing.json") is None


@pytest.mark.parametrize(("folder_mode", "mode"), [(0o755, 0o644), (0o750, 0o640), (0o700, 0o600)])
def test_who_may_read_a_folder_may_read_its_files(folder_mode: int, mode: int, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.touch(mode=0o600)
    tmp_path.chmod(folder_mode)
    runs.share(file)
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_metrics_rewind_and_forgive_a_cut_line(tmp_path: Path) -> None:
    run = runs.RunFolder(tmp_path)
    assert run.metric_lines() == []
    run.metrics.write_text("".join(json.dumps({"step": n, "loss": n / 2}) + "\n" for n in range(5)) + '{"step": 5, "lo')
    assert [line["step"] for line in run.metric_lines()] == [0, 1, 2, 3, 4]
    run.rewind_metrics(2)
    assert [line["step"] for line in run.metric_lines()] == [0, 1, 2]


def test_one_writer(tmp_path: Path) -> None:
    run = runs.open_run(tmp_path / "run")
    with run.locked(), pytest.raises(ConfigError, match="another process"), run.locked():
        pass
    with run.locked():
        pass


def test_status_and_environment(tmp_path: Path) -> None:
    run = runs.open_run(tmp_path / "deep" / "run")
    assert run.status == {}
    run.set_status("running", step=3)
    assert run.status == {"state": "running", "step": 3}
    run.write_environment()
    versions = json.loads((run.path / "environment.json").read_text())["versions"]
    assert versions["torch"] and versions["transformers"]
    run.write_environment(2, {"threads": 3})
    assert {"ranks": 2, "threads": 3}.items() <= json.loads((run.path / "environment.json").read_text()).items()


def test_a_process_that_does_not_keep_the_folder_writes_nothing(tmp_path: Path) -> None:
    run, seen = runs.open_run(tmp_path / "run"), runs.RunFolder(tmp_path / "run", writes=False)
    run.set_status("running", step=3)
    run.add_metrics({"step": 1})
    before = {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    seen.set_status("failed")
    seen.write_environment()
    seen.add_metrics({"step": 2})
    seen.rewind_metrics(0)
    with run.locked(), seen.locked():
        pass
    assert seen.status == {"state": "running", "step": 3} and seen.metric_lines() == [{"step": 1}]
    (run.path / ".lock").unlink()
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before


def test_folders_that_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="is a file"):
        runs.open_run(tmp_path / "file")
    with pytest.raises(ConfigError, match="Nothing there is touched"):
        runs.open_run(tmp_path)
    with pytest.raises(MachineError, match="cannot be written"):
        runs.open_run(tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(MachineError, match="cannot be written"):
        runs.open_run(tmp_path / "run")


def test_move_aside_finds_a_free_name(tmp_path: Path) -> None:
    for expected in ("run.1", "run.2"):
        (tmp_path / "run").mkdir()
        assert runs.move_aside(tmp_path / "run").name == expected


def test_space_is_checked(tmp_path: Path) -> None:
    runs.check_space(tmp_path, 1, "a checkpoint")
    with pytest.raises(MachineError, match=r"No disk space for a checkpoint: about .* MiB are needed"):
        runs.check_space(tmp_path, 10**18, "a checkpoint")


def test_json_holds_what_utf8_cannot(tmp_path: Path) -> None:
    content = {"path": "twin\udcff.json", "text": "你好"}
    runs.write_json(tmp_path / "a.json", content)
    assert runs.read_json(tmp_path / "a.json") == content
    runs.write_json(tmp_path / "b.json", {"text": "你好"})
    assert "你好" in (tmp_path / "b.json").read_text("utf-8")
