"""Cached rows hold only as long as the rules for pictures, and what was missing, are the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tunesmith.data.chat import RenderOptions
from tunesmith.data.chats import load_chat
from tunesmith.data.flow import Work
from tunesmith.data.picture_files import PictureFiles
from tunesmith.data.pipeline import OnBad, Preparation, Prepared
from tunesmith.errors import DataError
from tunesmith.locate import locate


def prepared(files: list[str], pictures: PictureFiles, on_bad: OnBad = "stop") -> Prepared:
    tokenizer, chat = load_chat(locate("nano-minicpmv"))
    return Preparation(Work(chat, tokenizer, RenderOptions(), pictures=pictures), on_bad).run(files)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two records: one picture beside the file, one in a folder beside its folder."""
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))
    turns = [{"role": "user", "content": "<image>?"}, {"role": "assistant", "content": "red"}]
    records = [{"image": path, "conversations": turns} for path in ("a.png", "../pictures/b.png")]
    for path in ("data/a.png", "pictures/b.png"):
        (tmp_path / path).parent.mkdir()
        Image.new("RGB", (30, 20), "red").save(tmp_path / path)
    (tmp_path / "data" / "x.json").write_text(json.dumps(records))
    return [str(tmp_path / "data" / "x.json")]


def test_rows_of_other_rules_are_not_taken(files: list[str], tmp_path: Path) -> None:
    root = PictureFiles((str(tmp_path / "pictures"),))
    first = prepared(files, root)
    assert len(first) == 2
    with pytest.raises(DataError, match="lies outside the folders"):
        prepared(files, PictureFiles())
    assert prepared(files, root).fingerprint == first.fingerprint
    wider = prepared(files, PictureFiles((str(tmp_path),)))
    assert wider.fingerprint == first.fingerprint, "the same rows: a run may go on with them"


def test_a_missing_picture_may_come(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "a.png").rename(tmp_path / "kept.png")
    root = PictureFiles((str(tmp_path / "pictures"),))
    assert len(prepared(files, root, "skip")) == 1
    (tmp_path / "kept.png").rename(tmp_path / "data" / "a.png")
    assert len(prepared(files, root, "skip")) == 2
