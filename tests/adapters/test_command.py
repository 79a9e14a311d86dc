"""The command lines: what they print, and that mistakes come back as one paragraph."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.cli import main

Make = Callable[..., Path]


def test_the_four_verbs(
    make: Make, tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = str(make("a")), str(make("b", 2, rank=2))
    assert main(["adapter", "list", a, str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert "LoRA, rank 4" in listed and "no run" in listed and "same" in listed
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}', "utf-8")
    assert main(["adapter", "compare", a, b, "--layers", "3", "--data", str(rows), "--device", "cpu"]) == 0
    compared = capsys.readouterr().out
    assert "were trained on the same base" in compared and "r: 4 | 2" in compared and "11 more layers" in compared
    assert "On 1 rows" in compared
    assert main(["adapter", "compare", a, b, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["layers"]) == 14
    assert main(["adapter", "merge", a, b, "--weights", "0.5,0.5", "--output", str(tmp_path / "sum")]) == 0
    assert "rank 6; what it adds differs from the weighted sum by" in capsys.readouterr().out
    assert main(["adapter", "move", a, "--to", str(tiny_model_folder), "--output", str(tmp_path / "new")]) == 0
    assert "for the base" in capsys.readouterr().out


def test_mistakes(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = str(make("a"))
    assert main(["adapter", "merge", a, a, "--weights", "1;1", "--output", str(tmp_path / "x")]) == 2
    assert "write numbers with commas between" in capsys.readouterr().err
    assert main(["adapter", "list", str(tmp_path / "nothing")]) == 2
    assert "There is no folder" in capsys.readouterr().err
    assert main(["adapter", "mix"]) == 2
    assert "There is no command 'tunesmith adapter mix'" in capsys.readouterr().err
