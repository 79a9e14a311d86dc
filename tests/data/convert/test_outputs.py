"""The files that are written: names, refusals, and all or nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tunesmith.data.convert.outputs import Outputs, plan
from tunesmith.errors import ConfigError, MachineError

SHARES = (0.8, 0.1, 0.1)


def test_names(tmp_path: Path) -> None:
    assert plan("a/b.jsonl", "messages", None) == Outputs((Path("a/b.jsonl"),), False, False)
    assert plan("b.json", "vision", None) == Outputs((Path("b.json"),), True, True)
    names = [Path("a/b_train.json"), Path("a/b_validation.json"), Path("a/b_test.json")]
    assert plan("a/b.json", "messages", SHARES) == Outputs(tuple(names), True, False)
    folder = [tmp_path / name for name in ("train.jsonl", "validation.jsonl", "test.jsonl")]
    assert plan(str(tmp_path), "messages", SHARES).paths == tuple(folder)
    assert plan("new", "vision", (0.5, 0.5, 0.0)).paths == (Path("new/train.json"), Path("new/validation.json"), None)


def test_refused_names(tmp_path: Path) -> None:
    for output, shape, words in (
        ("a.txt", "messages", "has no such ending"),
        (str(tmp_path), "messages", "is a folder"),
        ("a.jsonl", "vision", "reads a JSON list"),
    ):
        with pytest.raises(ConfigError, match=words):
            plan(output, shape, None)
    (tmp_path / "test.jsonl").touch()
    with pytest.raises(ConfigError, match="from an earlier split"):
        plan(str(tmp_path), "messages", (0.5, 0.5, 0.0))


def test_check(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    outputs = Outputs((path, None), False, False)
    outputs.check(["b.jsonl"], False)
    path.touch()
    with pytest.raises(ConfigError, match="--overwrite"):
        outputs.check([], False)
    outputs.check([], True)
    (tmp_path / "link.jsonl").symlink_to(path)
    for source in (path, tmp_path / "link.jsonl"):
        with pytest.raises(ConfigError, match="one of the files that are read"):
            outputs.check([str(source)], True)


def test_write(tmp_path: Path) -> None:
    lines = ['{"a": 1}\n', '{"a": "\u2028"}\n', '{"a": 3}\n']
    paths = (tmp_path / "new" / "x.json", tmp_path / "new" / "y.json")
    assert Outputs(paths, True, True).write(lines, [0, 1, 0]) == [2, 1]
    assert json.loads(paths[0].read_text("utf-8")) == [{"id": "0", "a": 1}, {"id": "1", "a": 3}]
    assert Outputs((tmp_path / "z.jsonl",), False, False).write(lines, [0, 0, 0]) == [3]
    assert (tmp_path / "z.jsonl").read_text("utf-8") == "".join(lines)


def test_all_or_nothing(tmp_path: Path) -> None:
    paths = (tmp_path / "x.json", tmp_path / "y.json")
    paths[0].write_text("old")

    def lines() -> Iterator[str]:
        yield '{"a": 1}\n'
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Outputs(paths, True, False).write(lines(), [0, 1])
    assert {path.name for path in tmp_path.iterdir()} == {"x.json"} and paths[0].read_text() == "old"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot be written"):
        Outputs((tmp_path / "file" / "x.json",), True, False).write([], [])
