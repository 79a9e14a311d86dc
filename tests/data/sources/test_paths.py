"""Files, folders, patterns and saved data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.data.sources import expand, scan
from tunesmith.errors import DataError


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text('{"a": 1}')
    return folder


def names(folder: Path, path: str) -> list[str]:
    return [str(Path(file).relative_to(folder)) for file in expand(path)]


def test_a_file_is_itself(tmp_path: Path) -> None:
    fill(tmp_path, "odd[1]*.name")
    assert names(tmp_path, f"{tmp_path}/odd[1]*.name") == ["odd[1]*.name"]


def test_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, "b.jsonl", "a.json.gz", "c.CSV", "d.parquet", "e.zip", "README.md", ".hidden.json", "in/f.json")
    fill(tmp_path, "dataset_info.json", "notes.txt")
    assert names(tmp_path, str(tmp_path)) == ["a.json.gz", "b.jsonl", "c.CSV", "d.parquet"]
    assert names(tmp_path, f"{tmp_path}/") == names(tmp_path, str(tmp_path))


def test_a_folder_of_texts(tmp_path: Path) -> None:
    fill(tmp_path, "b.md", "a.txt", "x.bin")
    assert names(tmp_path, str(tmp_path)) == ["a.txt", "b.md"]


def test_a_folder_without_data(tmp_path: Path) -> None:
    fill(tmp_path, "in/a.json", "x.bin")
    with pytest.raises(DataError, match=r"holds no data file \(\.arrow, .* It holds folders: .*\*\*"):
        expand(str(tmp_path))
    with pytest.raises(DataError, match="holds no data file"):
        expand(str(fill(tmp_path, "other/x.bin") / "other"))


def test_patterns(tmp_path: Path) -> None:
    fill(
        tmp_path, "b.jsonl", "a.jsonl", "a.json", "README.md", "in/c.jsonl", "in/deep/d.jsonl", ".h/e.jsonl", "in/x.txt"
    )
    assert names(tmp_path, f"{tmp_path}/*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(tmp_path, f"{tmp_path}/[ab].json*") == ["a.json", "a.jsonl", "b.jsonl"]
    assert names(tmp_path, f"{tmp_path}/**/*.jsonl") == ["a.jsonl", "b.jsonl", "in/c.jsonl", "in/deep/d.jsonl"]
    assert names(tmp_path, f"{tmp_path}/in/**") == ["in/c.jsonl", "in/deep/d.jsonl"]
    assert names(tmp_path, f"{tmp_path}/*.md") == ["README.md"]
    with pytest.raises(DataError, match=r"No data file fits the pattern '.*\*\.csv'"):
        expand(f"{tmp_path}/*.csv")


def test_missing_paths(tmp_path: Path) -> None:
    fill(tmp_path, "train.json")
    with pytest.raises(DataError, match=r"Did you mean '.*/train\.json'\?"):
        expand(f"{tmp_path}/trian.json")
    with pytest.raises(DataError, match=r"the folder '.*' does not exist either"):
        expand(f"{tmp_path}/no/train.json")
    with pytest.raises(DataError, match="no ordinary file"):
        expand("/dev/null")


def test_a_saved_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    records = [
        {"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "好"}]} for n in range(9)
    ]
    data = datasets.Dataset.from_list(records)
    data.select(range(8, -1, -1)).save_to_disk(str(tmp_path / "one"), num_shards=3)
    files = expand(str(tmp_path / "one"))
    assert [Path(file).name for file in files] == [f"data-0000{n}-of-00003.arrow" for n in range(3)]
    assert [record for file in files for record, _ in scan(file)] == records[::-1]
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(DataError, match=r"the splits train, test .*Give one of them: '.*two/train'"):
        expand(str(tmp_path / "two"))
    assert len(expand(str(tmp_path / "two" / "train"))) == 1
    datasets.DatasetDict({"train": data}).save_to_disk(str(tmp_path / "three"))
    assert [record for file in expand(str(tmp_path / "three")) for record, _ in scan(file)] == records


def saved(folder: Path, state: object) -> str:
    fill(folder, "dataset_info.json", "data-0.arrow")
    (folder / "state.json").write_text(state if isinstance(state, str) else json.dumps(state))
    return str(folder)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "not a JSON object"),
        ({}, "names no data file"),
        ({"_data_files": [{"filename": "data-1.arrow"}]}, "'data-1.arrow', which is not there"),
        ({"_data_files": [{"filename": "../a.arrow"}]}, "which is not there"),
        ({"_data_files": [{"filename": "data-0.arrow"}], "_indices_files": [{}]}, "flatten_indices"),
    ],
)
def test_damaged_saved_data_sets(tmp_path: Path, state: object, words: str) -> None:
    with pytest.raises(DataError, match=words):
        expand(saved(tmp_path, state))


def test_damaged_splits(tmp_path: Path) -> None:
    fill(tmp_path, "dataset_dict.json")
    with pytest.raises(DataError, match=r"\(none\)"):
        expand(str(tmp_path))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train"]}')
    with pytest.raises(DataError, match="There is no folder"):
        expand(str(tmp_path))
