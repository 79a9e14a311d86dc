"""tunesmith data show: the ids of the published layout, exit statuses, and a start without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith.cli import main

FOLDER = Path(__file__).parents[2] / "golden" / "tokenizers" / "minicpm-2b"
PUBLISHED = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))["published_layout"]


def saved(path: Path, records: list[Any]) -> str:
    path.write_text(json.dumps(records, ensure_ascii=False), encoding="utf-8")
    return str(path)


def record(answer: str = "好", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": answer, **more}]}


def show(*arguments: str) -> int:
    return main(["data", "show", *arguments, "--model", str(FOLDER)])


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], str]:
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def test_json_is_the_published_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "a.json", [{"messages": case["messages"]} for case in PUBLISHED])
    assert show(path, "--json", "--end-of-turn", "last") == 0
    rows, err = lines(capsys)
    assert err == ""
    for number, (row, case) in enumerate(zip(rows, PUBLISHED, strict=True)):
        assert list(row) == ["record", "input_ids", "labels", "text"]
        assert (row["record"], row["input_ids"], row["labels"]) == (number, case["input_ids"], case["labels"])
        assert row["text"].startswith("<s>") and row["text"].endswith("</s>")
    assert "你好！有什么可以帮你？" in rows[0]["text"]


def test_a_chosen_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "a.json", [record()])
    assert show(path, "--json", "--chat-template", "human-assistant") == 0
    (row,), _ = lines(capsys)
    assert row["text"] == "Human:\n你好\nAssistant:\n好</s>"
    assert show(path, "--chat-template", "humans") == 2
    assert "There is no template" not in capsys.readouterr().out


def test_json_of_bad_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "a.json", [record(), {"messages": []}, record()])
    assert show(path, "--json") == 1
    rows, err = lines(capsys)
    assert [row["record"] for row in rows] == [0, 1, 2]
    assert set(rows[1]["error"]) == {"field", "reason", "mend", "line"} and rows[1]["error"]["field"] == "messages"
    assert rows[0]["input_ids"] == rows[2]["input_ids"]
    assert "bad record:" in err and "record 1" in err


def test_json_says_what_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "a.json", [record("你好！" * 10)])
    assert show(path, "--json", "--max-length", "12") == 0
    rows, err = lines(capsys)
    assert len(rows[0]["input_ids"]) == 12
    assert "tokens are cut" in err and "of them to learn" in err


def test_another_encoding_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json.dumps([record("你好！")], ensure_ascii=False).encode("gb18030"))
    assert show(str(path), "--json") == 0
    rows, err = lines(capsys)
    assert "你好！" in rows[0]["text"] and "a.json: " in err and "GB18030" in err


def test_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "a.json", [record() for _ in range(5)])
    assert show(path) == 0
    out, err = capsys.readouterr()
    assert out.count("Record ") == 3 and out.count("[learned:  好][stop: </s>]") == 3
    assert err == "Shown: records 0 to 2. The file has more: --count K, --record N, or --html OUT.\n"
    assert show(path, "--record", "4", "--ids", "--tokens", "3") == 0
    out, err = capsys.readouterr()
    assert "Record 4" in out and out.count("Record ") == 1 and "--tokens 3" in out and err == ""
    assert show(saved(tmp_path / "b.json", [record(), record(train=False)])) == 1


def test_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, target = saved(tmp_path / "a.json", [record() for _ in range(25)]), tmp_path / "page.html"
    assert show(path, "--html", str(target)) == 0
    assert "20 records, all good" in capsys.readouterr().err
    assert target.read_text(encoding="utf-8").count("<section") == 20
    assert show(saved(tmp_path / "b.json", [record(), record(train=False)]), "--html", str(target)) == 1
    assert "1 of 2 records" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no.json"], "There is no file"),
        (["a.json", "--record", "13"], "the file has 2 records, 0 to 1"),
        (["a.json", "--record", "-1"], "counted from 0"),
        (["a.json", "--json", "--html", "x.html"], "Choose one"),
        (["a.json", "--json", "--ids"], "--ids is for the terminal"),
        (["a.json", "--html", "a.json", "--overwrite"], "the data file itself"),
        (["a.json", "--format", "mesages"], "messages"),
    ],
)
def test_mistakes(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "a.json", [record(), record()])
    assert show(*arguments) == 2
    assert words in capsys.readouterr().err


def test_a_folder_without_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = saved(tmp_path / "a.json", [record()])
    assert main(["data", "show", path, "--model", str(tmp_path)]) == 2
    assert "has no tokenizer" in capsys.readouterr().err


def test_it_starts_without_torch(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.json", [record()])
    code = (
        "import sys; from tunesmith.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(status or 9 * bool({'torch', 'transformers', 'numpy', 'tunesmith.models'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "data", "show", path, "--model", str(FOLDER), "--html", str(tmp_path / "p")]
    assert subprocess.run(command, check=False, capture_output=True, text=True).returncode == 0


def test_pictures_of_other_folders_and_the_web(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("data", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "pictures" / "a.ppm").write_bytes(b"P6 1 1 255\n\0\0\0")
    turns = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "!"}]
    records = [{"messages": turns, "images": [path]} for path in ("../pictures/a.ppm", "http://127.0.0.1:9/a.png")]
    command = ["data", "show", saved(tmp_path / "data" / "a.json", records), "--model", "nano-minicpmv", "--json"]
    assert main(command) == 1
    first, second = (row["error"] for row in lines(capsys)[0])
    assert "lies outside the folders" in first["reason"] and "not fetched" in second["reason"]
    assert main([*command, "--picture-root", str(tmp_path / "pictures"), "--fetch-pictures"]) == 1
    first, second = lines(capsys)[0]
    assert first["input_ids"] and "cannot be fetched" in second["error"]["reason"]
