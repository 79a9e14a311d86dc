"""tunesmith data check: exit status, JSON, and what is told on the terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tunesmith import cli
from tunesmith.data.chat import RenderOptions
from tunesmith.data.chats import load_chat
from tunesmith.data.pipeline import prepare


def task(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"What is {number} plus 3?", "input": "", "output": f"It is {number + 3}.", **more}


def write(folder: Path, name: str, records: list[Any]) -> str:
    path = folder / name
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")
    return str(path)


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    status = cli.main(["data", "check", *arguments, "--json"])
    shown = capsys.readouterr()
    assert shown.err == ""
    content = json.loads(shown.out)
    for file in content["files"]:
        assert file["kept"] + len(file["bad"]) == file["records"]
    return status, content


def test_good_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, content = checked(capsys, write(tmp_path, "a.jsonl", [task(n) for n in range(30)]))
    assert status == 0
    (file,) = content["files"]
    assert (file["format"], file["records"], file["kept"], file["bad"]) == ("alpaca", 30, 30, [])
    assert content["findings"] == [] and content["lengths"]["unit"] == "characters"


def test_bad_records_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "a.jsonl", [task(0), task(1, output=None), task(2), {"instruction": "x"}])
    status, content = checked(capsys, path)
    assert status == 1
    bad = content["files"][0]["bad"]
    assert [(one["index"], one["line"], one["field"]) for one in bad] == [(1, 2, "output"), (3, 4, "output")]
    assert all(one["reason"] and one["mend"] for one in bad)
    assert cli.main(["data", "check", path]) == 1
    assert "record 1, line 2, field 'output'" in " ".join(capsys.readouterr().out.split())


def test_a_broken_file_does_not_hide_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "b.json"
    broken.write_text('[{"instruction": "a", "output": "b"}, {"instr', encoding="utf-8")
    status, content = checked(capsys, str(broken), write(tmp_path, "a.jsonl", [task(1)]))
    assert status == 1
    first, second = content["files"]
    assert first["format"] is None and "not valid JSON" in first["error"]
    assert (second["records"], second["kept"]) == (1, 1) and "error" not in second


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["nowhere.jsonl"], "nowhere.jsonl"),
        (["{file}", "--model", "nowhere"], "There is no folder 'nowhere'"),
        (["{file}", "--format", "alpacca"], "alpaca"),
        (["{file}", "--max-length", "0"], "--max-length is 0, but must be 1 or more."),
        (["{file}", "--processes", "-1"], "--processes is -1"),
        (["{file}", "--validation", "{file}"], "is given for training and for validation"),
        ([], "FILES"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, "a.jsonl", [task(1)])
    assert cli.main(["data", "check", *(one.format(file=file) for one in arguments)]) == 2
    shown = capsys.readouterr()
    assert wanted in " ".join(shown.err.split())
    assert shown.out == ""


def test_tokens_are_those_of_training(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "a.jsonl", [task(n, output="It is so. " * n) for n in range(1, 30)])
    status, content = checked(capsys, path, "--model", str(tiny_model_folder), "--max-length", "64")
    tokenizer, chat = load_chat(tiny_model_folder)
    whole = prepare([path], chat, tokenizer, RenderOptions()).report
    cut = prepare([path], chat, tokenizer, RenderOptions(64)).report
    assert status == 0
    assert (content["tokens_per_epoch"], content["label_tokens"]) == (whole.tokens, whole.label_tokens)
    found = {finding["kind"]: finding for finding in content["findings"]}
    assert (found["cut_answers"]["records"], found["cut_answers"]["times"]) == (cut.cut_rows, cut.cut_label_tokens)
    assert content["model"] == {"name": str(tiny_model_folder), "max_length": 64, "positions": 512}


def test_tokens_are_those_of_a_chosen_template(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "a.jsonl", [task(number) for number in range(30)])
    for name in ("minicpm", "chatml"):
        status, content = checked(capsys, path, "--model", str(tiny_model_folder), "--chat-template", name)
        tokenizer, chat = load_chat(tiny_model_folder, name)
        report = prepare([path], chat, tokenizer, RenderOptions()).report
        assert status == 0 and content["tokens_per_epoch"] == report.tokens
    assert cli.main(["data", "check", path, "--chat-template", "chatml"]) == 2
    assert "needs --model" in capsys.readouterr().err


def test_what_training_refuses_is_bad(
    tiny_model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, "a.jsonl", [task(1), task(2, input="Please. " * 40), task(3)])
    status, content = checked(capsys, path, "--model", str(tiny_model_folder), "--max-length", "48")
    tokenizer, chat = load_chat(tiny_model_folder)
    report = prepare([path], chat, tokenizer, RenderOptions(48), on_bad="skip").report
    assert status == 1
    assert content["files"][0]["bad"] == report.as_json()["files"][0]["bad"]


def test_validation_is_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training = write(tmp_path, "t.jsonl", [task(n) for n in range(9)])
    validation = write(tmp_path, "v.jsonl", [task(3), task(20)])
    status, content = checked(capsys, training, "--validation", validation)
    assert status == 0
    assert [file["use"] for file in content["files"]] == ["training", "validation"]
    (finding,) = content["findings"]
    assert (finding["kind"], finding["records"]) == ("validation_copies", 1)
    assert finding["places"][0]["detail"] == f"see {training}, record 3 (line 4)"


def test_several_processes_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [task(n, output=f"It is {n + 3}. " * 20) for n in range(9000)]
    records[5000] = task(5000, output="")
    records[8000] = records[3]
    path = write(tmp_path, "a.jsonl", records)
    alone = checked(capsys, path, "--processes", "1")
    assert alone == checked(capsys, path, "--processes", "2")
    assert alone[0] == 1
    assert [finding["places"][0]["index"] for finding in alone[1]["findings"] if finding["kind"] == "copies"] == [8000]


def test_it_starts_without_torch_and_transformers(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", [task(1)])
    program = (
        "import sys; from tunesmith.cli import main; "
        f"assert main(['data', 'check', {path!r}, '--model', 'nano', '--json']) == 0; "
        "print(sorted({'torch', 'transformers', 'tunesmith.models'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
    assert json.loads(done.stdout)["kept"] == 1


def test_pictures_of_other_folders_and_the_web(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("data", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "pictures" / "a.ppm").write_bytes(b"P6 1 1 255\n\0\0\0")
    turns = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "!"}]
    outside, web = ({"messages": turns, "images": [path]} for path in ("../pictures/a.ppm", "http://127.0.0.1:9/a.png"))
    path = write(tmp_path / "data", "a.jsonl", [outside, web])
    root = ("--picture-root", str(tmp_path / "pictures"))

    def reasons(*arguments: str) -> list[str]:
        _, content = checked(capsys, path, *arguments)
        return [bad["reason"] for bad in content["files"][0]["bad"]]

    first, second = reasons()
    assert "lies outside the folders" in first and "not fetched" in second
    assert reasons(*root) == [second]
    (tried,) = reasons(*root, "--fetch-pictures", "--model", "nano-minicpmv")
    assert "cannot be fetched" in tried
    assert cli.main(["data", "check", path, "--picture-root", str(tmp_path / "nowhere")]) == 2
    assert "--picture-root: '" in capsys.readouterr().err
