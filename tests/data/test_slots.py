"""Where pictures stand in a row, and how large their files say that they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tunesmith.data.slicing import Plan, placeholder
from tunesmith.data.slots import bounds, size_of_file
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import DataError, ModelError, PictureError

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2"
SMALL = TextTokenizer.load(GOLDEN / "tokenizer")
TEXT = TextTokenizer.load(GOLDEN.parent / "tokenizers" / "minicpm-2b")
RUNS = [
    run
    for case in ("chat_noslice", "chat_sliced")
    for run in json.loads((GOLDEN / case / "case.json").read_text(encoding="utf-8"))["runs"]
]
SLICED = SMALL.encode(placeholder(Plan((14, 14), (1, 2), (14, 14), 2)))  # 3 blocks of 4, 2 marks, 1 newline
SINGLE = SMALL.encode(placeholder(Plan((14, 14), None, None, 2)))


def ids_of(run: dict) -> list[int]:
    return [token for token, count in run["tokens_rle"] for _ in range(count)]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run["run"])
def test_published_bounds(run: dict) -> None:
    assert bounds(ids_of(run), SMALL) == [tuple(bound) for bound in run["image_bound"]]


def test_bounds_of_several_pictures() -> None:
    row = [9, *SLICED, 5, *SINGLE, *SLICED, 9]
    assert bounds(row, SMALL) == [(2, 4), (7, 9), (12, 14), (18, 20), (22, 24), (27, 29), (32, 34)]
    assert bounds([9, 9], SMALL) == bounds([], SMALL) == []


def test_rows_whose_marks_do_not_belong_together() -> None:
    for row in (SLICED[:2], SLICED[1:], [*SINGLE[:2], *SINGLE], [*SINGLE, SINGLE[-1]]):
        with pytest.raises(DataError, match="picture|belong together"):
            bounds(row, SMALL)
    with pytest.raises(DataError, match="ends inside a picture that begins at token 0"):
        bounds(SINGLE[:-1], SMALL)
    with pytest.raises(ModelError, match="no tokenizer of a model that sees"):
        bounds([1], TEXT)


def test_size_of_a_file(tmp_path: Path) -> None:
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    assert size_of_file(str(tmp_path / "a.png")) == (30, 20)
    with pytest.raises(PictureError, match="does not exist"):
        size_of_file(str(tmp_path / "b.png"))
