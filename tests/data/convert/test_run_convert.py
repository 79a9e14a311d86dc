"""Conversions, from files to files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tunesmith.data import sources
from tunesmith.data.convert.run import Account, Job, run
from tunesmith.errors import ConfigError, DataError, MachineError


def task(number: int, answer: str = "yes") -> dict[str, str]:
    return {"instruction": f"question {number}", "output": answer}


def write(path: Path, records: list[Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def read(path: Path) -> list[Any]:
    return [record for record, _ in sources.scan(str(path))]


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job([write(tmp_path / "in.jsonl", [task(n) for n in range(40)])], "messages", str(tmp_path / "out.jsonl"))


def test_records_keep_their_order(job: Job) -> None:
    account = run(job)
    assert [record["messages"][0]["content"] for record in read(Path(job.output))] == [
        f"question {number}" for number in range(40)
    ]
    assert account.written == {job.output: 40} and not account.bad
    assert [vars(file) for file in account.read] == [
        {"path": job.files[0], "format": "alpaca", "records": 40, "bad": 0}
    ]


def test_many_files_of_many_formats(job: Job, tmp_path: Path) -> None:
    other = write(tmp_path / "b.jsonl", [{"prompt": "p", "completion": "c"}])
    account = run(replace(job, files=[*job.files, other]))
    assert account.written == {job.output: 41} and [file.format for file in account.read] == ["alpaca", "completion"]


@pytest.mark.parametrize(
    "records",
    [
        [task(1), task(2)],
        [
            {
                "conversations": [
                    {"from": "human", "value": "a"},
                    {"from": "function_call", "value": '{"name":"f","arguments":{}}'},
                ]
            }
        ],
        [{"prompt": "a", "chosen": "b", "rejected": "c"}],
        [{"prompt": "a", "completion": "b", "label": False}],
        [
            {
                "messages": [{"role": "user", "content": "<image>a"}, {"role": "assistant", "content": "b"}],
                "images": ["a.jpg"],
            }
        ],
        [
            {
                "image": "a.jpg",
                "conversations": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
            }
        ],
    ],
)
def test_converting_again_changes_nothing(tmp_path: Path, records: list[Any]) -> None:
    (tmp_path / "a.jpg").touch()
    first, again = tmp_path / "1.json", tmp_path / "2.json"
    run(Job([write(tmp_path / "in.jsonl", records)], "messages", str(first)))
    run(Job([str(first)], "messages", str(again)))
    assert first.read_bytes() == again.read_bytes()
    if "images" in read(first)[0]:
        vision, back = tmp_path / "v.json", tmp_path / "w.json"
        run(Job([str(first)], "vision", str(vision)))
        run(Job([str(vision)], "vision", str(back)))
        assert vision.read_bytes() == back.read_bytes()
        run(Job([str(vision)], "messages", str(again), overwrite=True))
        assert first.read_bytes() == again.read_bytes()


def test_split(job: Job, tmp_path: Path) -> None:
    records = [task(n % 30, answer) for n in range(60) for answer in ("a", "b")]
    files = [write(tmp_path / "in.jsonl", records)]
    job = replace(job, files=files, output=str(tmp_path / "parts"), shares=(0.8, 0.1, 0.1))
    account = run(job)
    parts = {name: read(tmp_path / "parts" / f"{name}.jsonl") for name in ("train", "validation", "test")}
    assert {name: len(part) for name, part in parts.items()} == {"train": 96, "validation": 12, "test": 12}
    assert list(account.written.values()) == [96, 12, 12]
    prompts = [{record["messages"][0]["content"] for record in part} for part in parts.values()]
    assert sum(map(len, prompts)) == 30 == len(set().union(*prompts))
    run(replace(job, output=str(tmp_path / "same")))
    run(replace(job, output=str(tmp_path / "other"), seed=1))
    same, other = (read(tmp_path / name / "train.jsonl") for name in ("same", "other"))
    assert same == parts["train"] != other


def test_bad_records(job: Job, tmp_path: Path) -> None:
    write(Path(job.files[0]), [task(0), *[task(n, "") for n in range(12)], task(2)])
    with pytest.raises(DataError) as caught:
        run(job)
    text = str(caught.value)
    assert text.startswith("12 of 14 records cannot be converted:") and text.count("field 'output'") == 10
    assert "... and 2 more bad records." in text and "--on-bad skip" in text
    assert not Path(job.output).exists()
    account = run(replace(job, skip_bad=True))
    assert account.written == {job.output: 2} and account.read[0].bad == 12 and len(account.bad) == 10
    write(Path(job.files[0]), [task(0, "")])
    with pytest.raises(DataError, match="1 of 1 records cannot be converted"):
        run(replace(job, skip_bad=True, overwrite=True))
    assert len(read(Path(job.output))) == 2


def test_preference_data_is_not_mixed_with_other(job: Job, tmp_path: Path) -> None:
    pairs = write(tmp_path / "b.jsonl", [{"prompt": "p", "chosen": "c", "rejected": "r"}])
    with pytest.raises(DataError, match=r"in.jsonl, record 0, line 1\) with preference data .*b.jsonl, record 0"):
        run(replace(job, files=[*job.files, pairs]))


def test_refusals(job: Job, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'message' cannot be written; did you mean 'messages'"):
        run(replace(job, shape="message"))
    with pytest.raises(ConfigError, match="Unknown format 'sharegtp'; did you mean 'sharegpt'"):
        run(replace(job, format="sharegtp"))
    with pytest.raises(ConfigError, match="one of the files that are read"):
        run(replace(job, output=job.files[0], overwrite=True))
    with pytest.raises(DataError, match="40 of 40"):
        run(replace(job, format="messages"))
    with pytest.raises(MachineError, match="cannot be written"):
        run(replace(job, output=f"{job.files[0]}/x.jsonl"))
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_progress(job: Job) -> None:
    write(Path(job.files[0]), [task(n) for n in range(1200)])
    seen: list[int] = []
    run(replace(job, files=job.files * 2, progress=seen.append))
    assert seen == [500, 1000, 1700, 2200]


def test_account_without_faults() -> None:
    assert Account().faults == ""
