"""How pictures are cut: the published sizes, grids and placeholders, from the size alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.data.slicing import Plan, Slicing, placeholder
from tunesmith.errors import ModelError

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpmv2"
TABLE = json.loads((GOLDEN / "preproc_448" / "size_table.json").read_text(encoding="utf-8"))
IMAGES = json.loads((GOLDEN / "preproc_448" / "case.json").read_text(encoding="utf-8"))["images"]


def test_the_published_table_of_sizes() -> None:
    assert len(TABLE) == 249
    for row in TABLE:
        slicing = Slicing(row["scale_resolution"], row["patch_size"], row["max_slice_nums"])
        plan = slicing.plan(row["width"], row["height"])
        grid, part = row["grid_cols_rows"], row["slice_size"]
        expected = Plan(tuple(row["source_size"]), grid and tuple(grid), part and tuple(part), 64)
        assert plan == expected, row
        assert plan.count == row["n_slices"] + 1


@pytest.mark.parametrize("case", IMAGES, ids=lambda case: case["image"])
def test_published_placeholders(case: dict) -> None:
    plan, layout = Slicing().plan(*case["original_size"]), case["placeholder_layout"]
    assert hashlib.sha256(placeholder(plan).encode()).hexdigest() == layout["sha256_of_text"]
    assert (plan.tokens, plan.slots, plan.count) == (
        case["placeholder_token_count"],
        layout["n_unk"],
        layout["n_image_blocks"],
    )
    assert plan.sizes == [tuple(part["size_wh"]) for part in case["slices"]]


@pytest.mark.parametrize(
    ("size", "grid", "tokens"), [((448, 448), None, 66), ((4000, 4000), (3, 3), 664), ((300, 9000), (1, 9), 670)]
)
def test_tokens(size: tuple[int, int], grid: tuple[int, int] | None, tokens: int) -> None:
    plan = Slicing().plan(*size)
    assert (plan.grid, plan.tokens) == (grid, tokens)


def test_placeholder_text() -> None:
    block = "<image><unk><unk></image>"
    assert placeholder(Plan((14, 14), None, None, 2)) == block
    assert placeholder(Plan((14, 14), (2, 2), (14, 14), 2)) == (f"{block}<slice>{block}{block}\n{block}{block}</slice>")


@given(
    width=st.integers(1, 6000),
    height=st.integers(1, 6000),
    most=st.integers(1, 20),
    scale=st.sampled_from([70, 84, 448]),
)
def test_every_picture_can_be_cut(width: int, height: int, most: int, scale: int) -> None:
    plan = Slicing(scale, 14, most, 4).plan(width, height)
    assert all(side % 14 == 0 and side > 0 for size in plan.sizes for side in size)
    assert len(plan.sizes) == plan.count <= most + 1
    text = placeholder(plan)
    assert plan.tokens == text.count("<") + text.count("\n")  # every token is a tag or a line's end


def test_without_slicing_a_picture_stays_as_it_is() -> None:
    assert Slicing(slice_mode=False).plan(333, 2000) == Plan((333, 2000), None, None, 64)


def test_settings_of_a_config() -> None:
    config = json.loads((GOLDEN / "chat_sliced" / "config.json").read_text(encoding="utf-8"))
    assert Slicing.of(config) == Slicing(84, 14, 9, 16)
    assert Slicing.of({}) == Slicing()
    for wrong in ({"patch_size": 0}, {"query_num": "64"}, {"max_slice_nums": True}, {"slice_mode": 1}):
        with pytest.raises(ModelError, match=next(iter(wrong))):
            Slicing.of(wrong)
    with pytest.raises(ValueError, match="0 x 5"):
        Slicing().plan(0, 5)
