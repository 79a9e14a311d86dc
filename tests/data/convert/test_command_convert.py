"""tunesmith data convert, as it is typed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tunesmith.cli import main


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    records = [{"instruction": f"question {n}", "output": "yes"} for n in range(20)]
    (tmp_path / "tasks.json").write_text(json.dumps(records))
    return "tasks.json"


def test_convert(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "convert", data, "--to", "messages", "--output", "out.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert out == "" and err.splitlines() == [
        "tasks.json: 20 records of the format alpaca",
        "out.jsonl: 20 records written",
    ]
    assert main(["data", "convert", data, "--to", "messages", "--output", "out.jsonl"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["data", "convert", data, "--to", "messages", "--output", "out.jsonl", "--overwrite"]) == 0


def test_split(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["data", "convert", data, "--to", "messages", "--output", "parts", "--split", "0.8,0.2", "--seed", "3"]
    assert main(arguments) == 0
    assert "train.jsonl: 16 records written" in capsys.readouterr().err
    assert sorted(path.name for path in Path("parts").iterdir()) == ["train.jsonl", "validation.jsonl"]


def test_bad_records(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.json").write_text('[{"instruction": "[a]", "output": "b"}, {"instruction": "[c]"}]')
    arguments = ["data", "convert", "bad.json", "--to", "messages", "--output", "out.jsonl"]
    assert main(arguments) == 2
    assert "bad.json, record 1, line 1, field 'output': it is missing" in capsys.readouterr().err
    assert main([*arguments, "--on-bad", "skip"]) == 0
    err = capsys.readouterr().err
    assert "Left out:" in err and "field 'output'" in err and "2 records of the format alpaca, 1 left out" in err
    assert "out.jsonl: 1 record written" in err


def test_single_quotes(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a b.json").write_text("[\n{'instruction': 'it\\'s [a]', 'output': 'b'},\n]")
    assert main(["data", "convert", "a b.json", "--to", "messages", "--output", "NEW.jsonl"]) == 2
    command = capsys.readouterr().err.rpartition(": tunesmith ")[2]
    assert command == "data convert 'a b.json' --python --to messages --output NEW.jsonl\n"
    assert main(shlex.split(command)) == 0
    assert json.loads(Path("NEW.jsonl").read_text())["messages"][0]["content"] == "it's [a]"


def test_pictures_elsewhere(data: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("talks").resolve()
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "a.png").touch()
    turns = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "!"}]
    records = [{"messages": turns, "images": [path]} for path in ("pictures/a.png", "https://example.org/a.png")]
    (folder / "x.json").write_text(json.dumps(records))
    arguments = ["data", "convert", "--to", "messages", "--output", "out.jsonl"]
    assert main([*arguments, "talks/x.json"]) == 0
    assert f"outside the new files' folder; to use them: data.picture_roots=[{folder}]" not in capsys.readouterr().err
    images = [json.loads(line)["images"] for line in Path("out.jsonl").read_text().splitlines()]
    assert images == [["talks/pictures/a.png"], ["https://example.org/a.png"]]
    arguments[-1] = "new/out.jsonl"
    assert main([*arguments, "talks/x.json"]) == 0
    assert f"outside the new files' folder; to use them: data.picture_roots=[{folder}]" in capsys.readouterr().err
    arguments[-1] = "again.jsonl"
    assert main([*arguments, "new/out.jsonl"]) == 2
    assert "lies outside the folders" in capsys.readouterr().err
    assert main([*arguments, "new/out.jsonl", "--picture-root", "talks"]) == 0


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--on-bad", "stopp"], "neither 'stop' nor 'skip'"),
        (["--split", "90,10"], "add up to 1"),
        (["--format", "alpacca"], "did you mean 'alpaca'"),
    ],
)
def test_mistakes(data: str, capsys: pytest.CaptureFixture[str], more: list[str], words: str) -> None:
    assert main(["data", "convert", data, "--to", "messages", "--output", "out.jsonl", *more]) == 2
    assert words in capsys.readouterr().err and not Path("out.jsonl").exists()
