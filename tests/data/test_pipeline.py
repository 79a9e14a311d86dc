"""Files to rows: every record is kept as rendered, or named; nothing else happens to it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tunesmith.data.chat import RenderOptions, render
from tunesmith.data.chats import MarkerChat
from tunesmith.data.flow import Work
from tunesmith.data.formats import alpaca, messages
from tunesmith.data.pipeline import Preparation, Prepared, prepare, split
from tunesmith.data.sources import read_records
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Origin
from tunesmith.errors import ConfigError, DataError, RecordError

WORDS = ("你好，我是小匠。", "What is two plus three?", "Two plus three is five.", "天在下雨", "<用户><AI>")


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(WORDS, trainer)
    return TextTokenizer(backend, {"bos_token": "<s>", "eos_token": "</s>"})


def task(number: int, **more: Any) -> dict[str, Any]:
    return {"instruction": f"What is {number} plus 3?", "input": "", "output": f"It is {number + 3}.", **more}


def chat(*texts: str) -> dict[str, Any]:
    roles = ("user", "assistant") * len(texts)
    return {"messages": [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]}


def write(folder: Path, name: str, records: list[Any]) -> str:
    (folder / name).write_text(json.dumps(records, ensure_ascii=False, indent=1), encoding="utf-8")
    return str(folder / name)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    chats = [chat("你好", "你好，我是小匠。"), chat("a", "b", "天在下雨", "c" * 40)]
    return [write(tmp_path, "tasks.json", [task(n) for n in range(30)]), write(tmp_path, "chats.json", chats)]


def make(files: list[str], tokenizer: TextTokenizer, max_length: int | None = None, **more: Any) -> Prepared:
    return prepare(files, MarkerChat(), tokenizer, RenderOptions(max_length), **more)


@pytest.mark.parametrize("max_length", [None, 40])
def test_rows_are_the_rendered_records(files: list[str], tokenizer: TextTokenizer, max_length: int | None) -> None:
    prepared = make(files, tokenizer, max_length)
    parsed = [alpaca.parse(*pair) for pair in read_records(files[0])]
    parsed += [messages.parse(*pair) for pair in read_records(files[1])]
    expected = [render(each, MarkerChat(), tokenizer, RenderOptions(max_length)) for each in parsed]
    assert list(prepared) == expected
    assert prepared.lengths.tolist() == [len(example.input_ids) for example in expected]
    assert prepared[-1] == expected[-1] and len(prepared) == 32
    with pytest.raises(IndexError):
        prepared[32]


def test_report(files: list[str], tokenizer: TextTokenizer) -> None:
    whole, prepared = make(files, tokenizer), make(files, tokenizer, 40)
    report = prepared.report
    assert [(f.path, f.format, f.records, f.kept, f.bad) for f in report.files] == [
        (files[0], "alpaca", 30, 30, []),
        (files[1], "messages", 2, 2, []),
    ]
    assert report.tokens == sum(len(example.input_ids) for example in prepared)
    assert report.label_tokens == sum(example.label_count for example in prepared)
    cut = [index for index, example in enumerate(prepared) if example.cut]
    assert cut == [31] and report.cut_rows == 1
    assert report.cut_tokens == len(whole[31].input_ids) - 40 == whole.report.tokens - report.tokens
    assert report.cut_label_tokens == whole.report.label_tokens - report.label_tokens > 0
    assert json.loads(json.dumps(report.as_json()))["files"][1] == {
        "path": files[1],
        "format": "messages",
        "records": 2,
        "kept": 2,
        "bad": [],
        "unlearned": 0,
        "notes": [],
        "sha256": hashlib.sha256(Path(files[1]).read_bytes()).hexdigest(),
    }


def broken(folder: Path) -> list[str]:
    tasks: list[Any] = [task(n) for n in range(20)]
    tasks[3] = task(3, output=" ")
    tasks[7] = [task(7)]
    tasks[19]["instrution"] = tasks[19].pop("instruction")
    long = "tell me " * 40
    return [
        write(folder, "tasks.json", tasks),
        write(folder, "chats.json", [chat("a", "b"), chat(long, "never reached"), chat("a", "b", "c")]),
    ]


PLACES = [(0, 3, 17, "output"), (0, 7, 37, "(record)"), (0, 19, 99, "instrution")]
PLACES += [(1, 1, 14, "messages"), (1, 2, 26, "messages[2].role")]


def test_stop_names_every_bad_record_of_every_file(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    files = broken(tmp_path)
    with pytest.raises(DataError) as caught:
        make(files, tokenizer, 60)
    lines = str(caught.value).splitlines()
    assert lines[0] == "5 of 23 records cannot be used:"
    for line, (file, record, number, field) in zip(lines[1:], PLACES, strict=False):
        assert line.startswith(f"  {files[file]}, record {record}, line {number}, field '{field}': ")
    assert "max_length" in lines[4] and lines[6:] == ["Mend them, or leave them out with data.on_bad=skip."]


def test_skip_keeps_the_others_and_names_the_bad(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    files = broken(tmp_path)
    prepared = make(files, tokenizer, 60, on_bad="skip")
    report = prepared.report
    assert [(f.records, f.kept, len(f.bad)) for f in report.files] == [(20, 17, 3), (3, 1, 2)]
    assert [(error.origin, error.field) for error in report.bad] == [
        (Origin(files[file], record, line), field) for file, record, line, field in PLACES
    ]
    origins = [example.origin for example in prepared]
    kept = [n for n in range(20) if n not in (3, 7, 19)]
    assert [origin.record for origin in origins if origin] == [*kept, 0]
    bad = report.as_json()["files"][0]["bad"][0]
    assert (bad["index"], bad["line"], bad["field"]) == (3, 17, "output") and bad["reason"] and bad["mend"]


def test_long_lists_of_faults_are_counted(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    file = write(tmp_path, "tasks.json", [task(0), *(task(n, output="") for n in range(25))])
    with pytest.raises(DataError, match=r"25 of 26 records cannot be used(.|\n)*\n  \.\.\. and 15 more") as caught:
        make([file], tokenizer)
    assert str(caught.value).count("field 'output'") == 10


@pytest.mark.parametrize("on_bad", ["stop", "skip"])
def test_no_usable_record(tmp_path: Path, tokenizer: TextTokenizer, on_bad: str) -> None:
    file = write(tmp_path, "tasks.json", [task(n, output="") for n in range(2)])
    with pytest.raises(DataError, match=r"^2 of 2 records cannot be used:\n  .*record 0(.|\n)*record 1") as caught:
        make([file], tokenizer, on_bad=on_bad)
    assert "on_bad" not in str(caught.value)


def test_broken_files_are_never_skipped(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    good, bad = write(tmp_path, "good.json", [task(1)]), write(tmp_path, "bad.json", [task(1, output="")])
    missing, cut = str(tmp_path / "god.json"), str(tmp_path / "cut.json")
    Path(cut).write_text('[{"instruction": "a", "output": "b"},\n {"instruction": "a"')
    with pytest.raises(DataError, match=r"There is no file '.*god\.json'") as caught:
        make([good, missing], tokenizer, on_bad="skip")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError) as caught:
        make([bad, missing, good, cut], tokenizer, on_bad="skip")
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 data files and 1 of 3 records cannot be used:"
    assert "god.json" in lines[1] and "cut.json, line 2, column" in lines[2] and "bad.json, record 0" in lines[3]


def test_a_broken_line_is_a_bad_record(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text("\n".join([json.dumps(task(0)), '{"instruction": "a', json.dumps(task(2))]))
    prepared = make([str(path)], tokenizer, on_bad="skip")
    assert [example.origin for example in prepared] == [Origin(str(path), 0, 1), Origin(str(path), 2, 3)]
    assert isinstance(prepared.report.bad[0], RecordError) and prepared.report.bad[0].origin == Origin(str(path), 1, 2)


def test_format_can_be_chosen(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    file = write(tmp_path, "both.json", [{**chat("a", "b"), **task(1)}])
    with pytest.raises(DataError, match="both.json: its records fit several formats"):
        make([file], tokenizer)
    as_chat, as_task = (make([file], tokenizer, format=name) for name in ("messages", "alpaca"))
    assert as_chat.report.files[0].format == "messages" and as_chat[0] != as_task[0]
    with pytest.raises(ConfigError, match="Unknown data.format 'alpacca'; did you mean 'alpaca'?"):
        make([file], tokenizer, format="alpacca")
    with pytest.raises(ConfigError, match="on_bad"):
        make([file], tokenizer, on_bad="ignore")
    with pytest.raises(DataError, match="No data file"):
        make([], tokenizer)


def test_progress_counts_every_record(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    seen: list[tuple[int, float]] = []
    work = Work(MarkerChat(), tokenizer, RenderOptions(60))
    Preparation(work, "skip", progress=lambda *done: seen.append(done)).run(broken(tmp_path))
    assert [records for records, _ in seen] == [20, 23]
    assert 0 < seen[0][1] < 1 == seen[-1][1]


def test_fingerprint_follows_what_decides_about_rows(
    files: list[str], tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    def of(chat: MarkerChat = MarkerChat(), **options: Any) -> str:  # noqa: B008 - frozen
        return prepare(files, chat, tokenizer, RenderOptions(**options)).fingerprint

    first = of()
    assert first == of() and len(first) == 64
    variants = [
        of(max_length=200),
        of(end_of_turn="last"),
        of(MarkerChat(encoding="conversation")),
        of(MarkerChat(strip=True)),
    ]
    variants += [of(MarkerChat(user="<u>")), make(files[::-1], tokenizer).fingerprint]
    other = TextTokenizer(tokenizer.backend, {**tokenizer.special, "unk_token": "<unk>"})
    variants.append(make(files, other).fingerprint)
    moved = [str(Path(file).rename(tmp_path / f"moved-{Path(file).name}")) for file in files]
    assert make(moved, tokenizer).fingerprint == first, "where a file lies does not matter"
    with Path(moved[0]).open("a") as stream:
        stream.write("\n")
    variants.append(make(moved, tokenizer).fingerprint)
    assert len({first, *variants}) == len(variants) + 1


def test_split_parts_of_prepared_rows(files: list[str], tokenizer: TextTokenizer) -> None:
    prepared = make(files, tokenizer)
    train, validation = split(prepared, 0.25, seed=1)
    assert (len(train), len(validation)) == (24, 8)
    assert train.report is prepared.report


def test_reading_and_checking_needs_no_torch() -> None:
    modules = ("pipeline", "sources", "formats.messages", "formats.alpaca", "collate", "order")
    code = f"import sys, {', '.join(f'tunesmith.data.{name}' for name in modules)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
