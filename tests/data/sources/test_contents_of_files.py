"""Every record with its place; every broken file with the line and column of the fault."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tunesmith.data.sources import read_records, scan
from tunesmith.data.types import Origin
from tunesmith.errors import DataError, RecordError

RECORDS = [{"a": "天在下雨。", "n": 1}, {"a": "line\u2028separator\r\n\ttab"}, {"a": {"b": [1, 2.5, None, True]}}]


def write(folder: Path, content: str | bytes, name: str = "data.json") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path) -> list[Any]:
    return [record for record, _ in read_records(path)]


def message(folder: Path, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        read(write(folder, content))
    return str(caught.value)


CONTAINERS = {
    "list on one line": json.dumps(RECORDS),
    "indented list": json.dumps(RECORDS, indent=4, ensure_ascii=False),
    "lines": "\n".join(json.dumps(record, ensure_ascii=False) for record in RECORDS),
    "lines with blank ones": "\n\n".join(json.dumps(record) for record in RECORDS) + "\n \n",
    "indented objects": "\n".join(json.dumps(record, indent=2) for record in RECORDS) + "\n",
}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "BOM"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "data"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers(tmp_path: Path, kind: str, name: str, end: str, mark: bytes) -> None:
    path = write(tmp_path, mark + CONTAINERS[kind].replace("\n", end).encode(), name)
    assert read(path) == RECORDS


def test_places(tmp_path: Path) -> None:
    path = write(tmp_path, '[\n  {"a": 1}, {"a":\n 2},\n\n\n{"a": 3}]\n')
    assert [origin for _, origin in read_records(path)] == [Origin(str(path), n, at) for n, at in enumerate((2, 2, 6))]
    path = write(tmp_path, '\n{"a": 1}\r\n\r\n{"a": 2}\n{"a": 3}')
    assert [origin.line for _, origin in read_records(str(path))] == [2, 4, 5]
    path = write(tmp_path, '{\n"a": 1\n}\n\n{\n"a": 2}')
    assert [(origin.record, origin.line) for _, origin in read_records(path)] == [(0, 1), (1, 5)]


def test_one_object_is_one_record(tmp_path: Path) -> None:
    for indent in (None, 2):
        assert read(write(tmp_path, json.dumps(RECORDS[0], indent=indent))) == RECORDS[:1]


def test_python_numbers_are_read(tmp_path: Path) -> None:
    (record,) = read(write(tmp_path, '[{"a": NaN, "b": -Infinity}]'))
    assert record["a"] != record["a"] and record["b"] == float("-inf")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=3), min_size=1, max_size=5),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.booleans(),
)
def test_any_records_come_back(
    tmp_path_factory: pytest.TempPathFactory, records: list[Any], indent: int | None, lines: bool, plain: bool
) -> None:
    assume(not lines or indent is None or all(records))  # {} is a whole line, which the other container is made of
    texts = [json.dumps(record, indent=indent, ensure_ascii=not plain) for record in records]
    content = "\n".join(texts) if lines else f"[{','.join(texts)}]"
    path = write(tmp_path_factory.mktemp("any"), content.encode("utf-8", "surrogatepass"))
    found = list(read_records(path))
    assert [record for record, _ in found] == records
    assert [origin.record for _, origin in found] == list(range(len(records)))
    file_lines = content.split("\n")
    assert all("{" in file_lines[(origin.line or 0) - 1] for _, origin in found)


# --- files that are not there or are something else ---------------------------------------------------------------


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "[]", "train.json")
    with pytest.raises(DataError, match=r"There is no file '.*trian\.json'\. Did you mean '.*/train\.json'\?"):
        list(scan(tmp_path / "trian.json"))
    with pytest.raises(DataError, match=r"the folder '.*nowhere' does not exist"):
        list(scan(tmp_path / "nowhere" / "train.json"))
    with pytest.raises(DataError, match=r"Check the path\."):
        list(scan(tmp_path / "zzzzzzzzzzzzzzzz"))


def test_folder(tmp_path: Path) -> None:
    write(tmp_path, "[]", "train.json")
    with pytest.raises(DataError, match=r"is a folder, .*It holds train\.json\."):
        list(scan(tmp_path))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf \r\n\n", "is empty"),
        (b" [ ]\n", "holds an empty list"),
        (b"\n<!DOCTYPE html>\n<html></html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"),
        (b"\x1f\x8b\x08\x00abc", "gzip"),
        (b"PK\x03\x04abc", "ZIP"),
        (b"PAR1abc", "Parquet"),
        (b"[\x00\x01\x02", "binary"),
        (b"\x7fELF\x00\x01", "binary"),
        (
            "instruction,input,output\n你好,,你好\n".encode(),
            r"line 1, column 1: .*begins with 'instruction,input,output'",
        ),
        (b"\n\n'text'", r"line 3, column 1"),
        (b"BZh91AY&SY", "bunzip2"),
        (b"x" * 257 + b"ustar\x0000", "tar archive"),
        ('{"a": "x"}\n{"a": "再见了"}\n'.encode().replace("见".encode(), b"\xe8\xa7"), r"line 2: it is not UTF-8"),
        ('[{"a": "好"}]'.encode()[:9], r"line 1: it is not UTF-8"),
    ],
)
def test_foreign_files(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(write(tmp_path, content))
    assert not isinstance(caught.value, RecordError)
    assert str(tmp_path / "data.json") in str(caught.value)


# --- broken JSON: the place, and what to do -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        ('[\n  {"a": 1},\n  {"a": "tex', r"line 3, column 9 \(record 1\)", "closing quote"),
        ('[\n  {"a": 1},\n  {"a": 2', r"line 3, column 10 \(record 1\)", "ends in the middle"),
        ('[\n  {"a": 1},\n', r"line 3, column 1 \(record 1\)", "ends in the middle"),
        ('[\n  {"a": 1}', r"line 2, column 11 \(record 0\)", "ends in the middle"),
        ("[", r"line 1, column 2 \(record 0\)", "ends in the middle"),
        ("{", r"line 1, column 2 \(record 0\)", "ends in the middle"),
        ("[\n{'a': 'b'}\n]", r"line 2, column 2 \(record 0\)", "single quotes"),
        ('[{"a": True}]', r"line 1, column 8", "Python's spelling"),
        ('[{"a": None}]', r"line 1, column 8", "Python's spelling"),
        ('[{"a": “b”}]', r"line 1, column 8", "typographic"),
        ('[{"a": 1},\n]', r"record 1\)", "comma too many"),
        ('[{"a": 1,}]', r"line 1, column (9|10) ", "comma too many"),
        ('[{"a": [1,]}]', r"line 1, column (10|11) ", "comma too many"),
        ('[{"a": 1}\n {"a": 2}]', r"line 2, column 2 \(record 0\)", "comma or a closing bracket is missing"),
        ('[{"a": "x"y"}]', r"line 1, column 11", "backslash"),
        ('[{"a": "x\ny"}]', r"line 1, column 10", "raw line break"),
        ('[{"a": "C:\\data"}]', r"line 1, column 11", "doubled"),
        ('[\n// note\n{"a": 1}]', r"line 2, column 1", "no comments"),
        ('{"a": 1},\n{"a": 2},\n', r"line 1, column 9", "put [ and ] around"),
        ('{\n"a": 1\n}\n{\n"a" 2}', r"line 5, column 5 \(record 1\)", "':' delimiter"),
        ('[{"a": ' + "[" * 100_000, r"line 1, column 2 \(record 0\)", "Nested too deeply"),
        (f'[{{"a": {"1" * 5000}}}]', r"line 1, column 2 \(record 0\)", "limit"),
    ],
)
def test_broken_json(tmp_path: Path, content: str, place: str, words: str) -> None:
    with pytest.raises(DataError, match=place) as caught:
        read(write(tmp_path, content))
    assert words in str(caught.value)


@pytest.mark.parametrize("rest", ['[{"a": 2}]', "]", "x"])
def test_content_behind_the_list(tmp_path: Path, rest: str) -> None:
    text = message(tmp_path, f'[{{"a": 1}}]\n\n {rest}')
    assert "line 3, column 2" in text and "list of 1 records is over" in text


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_no_cut_file_passes(tmp_path: Path, cut: int) -> None:
    whole = json.dumps(RECORDS, indent=1)
    with pytest.raises(DataError):
        read(write(tmp_path, whole[:-cut]))


# --- bad records: named, and the others are read ------------------------------------------------------------------


def test_broken_lines_are_named_and_the_others_read(tmp_path: Path) -> None:
    lines = [
        '{"a": 0}',
        '  {"a": 1',
        '{"a": 2} {"a": 3}',
        "{'a': 4}",
        '[{"a": 5}]',
        '"six"',
        '{"a": 7, "a": 8}',
        '{"a": 9}',
    ]
    found = list(scan(path := write(tmp_path, "\n".join(lines))))
    bad = [record for record, _ in found if isinstance(record, RecordError)]
    assert [record for record, _ in found if isinstance(record, dict)] == [{"a": 0}, {"a": 9}]
    assert [error.origin for error in bad] == [Origin(str(path), n, n + 1) for n in range(1, 7)]
    words = ["column 10", "goes on with '{", "single quotes", "a list inside the list", '"six"', "stands twice"]
    assert all(word in str(error) for word, error in zip(words, bad, strict=True)), [str(error) for error in bad]
    with pytest.raises(RecordError, match=r"record 1, line 2, .*column 10"):
        read(path)


def test_a_broken_first_line_does_not_hide_the_others(tmp_path: Path) -> None:
    (first, _), (second, _) = scan(write(tmp_path, '{"a": \n{"a": 1}\n'))
    assert isinstance(first, RecordError) and second == {"a": 1}


def test_bad_records_of_a_list(tmp_path: Path) -> None:
    content = '[\n{"a": 0},\n[{"a": 1}],\n"two", 3, null,\n{"b": {"c": 1, "c": 2}},\n{"a": 6}]'
    found = list(scan(write(tmp_path, content)))
    bad = {error.origin: error for error, _ in found if isinstance(error, RecordError)}
    assert [(origin.record, origin.line) for origin in bad] == [(1, 3), (2, 4), (3, 4), (4, 4), (5, 5)]
    assert [error.field for error in bad.values()] == ["(record)"] * 4 + ["c"]
    assert found[-1][0] == {"a": 6}
