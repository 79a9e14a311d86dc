"""Where pictures stand in a row, what they take, and whether cutting the row would hurt one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tunesmith.data.slicing import Plan, Slicing, placeholder
from tunesmith.data.slots import bounds, cut_picture, picture_tokens, spans
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, ImageRef
from tunesmith.errors import DataError, ModelError, PictureError

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2"
SMALL = TextTokenizer.load(GOLDEN / "tokenizer")
TEXT = TextTokenizer.load(GOLDEN.parent / "tokenizers" / "minicpm-2b")
RUNS = [
    (Slicing.of(json.loads((GOLDEN / case / "config.json").read_text(encoding="utf-8"))), run)
    for case in ("chat_noslice", "chat_sliced")
    for run in json.loads((GOLDEN / case / "case.json").read_text(encoding="utf-8"))["runs"]
]
SLICED = SMALL.encode(placeholder(Plan((14, 14), (1, 2), (14, 14), 2)))  # 3 blocks of 4, 2 marks, 1 newline
SINGLE = SMALL.encode(placeholder(Plan((14, 14), None, None, 2)))


def ids_of(run: dict) -> list[int]:
    return [token for token, count in run["tokens_rle"] for _ in range(count)]


@pytest.mark.parametrize(("slicing", "run"), RUNS, ids=lambda value: value["run"] if isinstance(value, dict) else "")
def test_published_bounds_and_tokens(slicing: Slicing, run: dict) -> None:
    ids = ids_of(run)
    assert bounds(ids, SMALL) == [tuple(bound) for bound in run["image_bound"]]
    image = run.get("image")
    images = (ImageRef("<image>", str(GOLDEN / "pictures" / image)),) if image else ()
    assert picture_tokens(Conversation((), images=images), slicing) == [end - start for start, end in spans(ids, SMALL)]


def test_spans_of_several_pictures() -> None:
    row = [9, *SLICED, 5, *SINGLE, *SLICED, 9]
    assert spans(row, SMALL) == [(1, 16), (17, 21), (21, 36)]
    assert bounds(row, SMALL)[:4] == [(2, 4), (7, 9), (12, 14), (18, 20)]
    assert spans([9, 9], SMALL) == bounds([], SMALL) == []
    assert spans(SLICED, SMALL) == [(0, 15)]


def test_a_cut_that_would_hurt_a_picture() -> None:
    row = [9, *SLICED, 5, *SINGLE, 9, 9]
    assert [cut_picture(row, SMALL, size) for size in (0, 1, 15)] == [(1, 16)] * 3
    assert [cut_picture(row, SMALL, size) for size in (16, 17, 20)] == [(17, 21)] * 3
    assert [cut_picture(row, SMALL, size) for size in (21, 22, 23, 99)] == [None] * 4


def test_rows_whose_marks_do_not_belong_together() -> None:
    for row in (SLICED[:2], SLICED[1:], [*SINGLE[:2], *SINGLE], [*SINGLE, SINGLE[-1]]):
        with pytest.raises(DataError, match="picture|belong together"):
            bounds(row, SMALL)
    with pytest.raises(DataError, match="ends inside a picture that begins at token 0"):
        spans(SLICED[:-1], SMALL)
    with pytest.raises(ModelError, match="no tokenizer of a model that sees"):
        bounds([1], TEXT)


def test_tokens_of_a_bad_picture(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="does not exist"):
        picture_tokens(Conversation((), images=(ImageRef("<image>", str(tmp_path / "a.png")),)), Slicing())
