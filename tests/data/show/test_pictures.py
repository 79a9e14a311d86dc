"""Pictures on the page: drawn as the vision tower gets them, each slot once, and the proof for all answers."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tunesmith.data.chat_minicpmv import MiniCPMVChat
from tunesmith.data.show.pictures import figures
from tunesmith.data.show.rows import SLOTS, Microscope, View
from tunesmith.data.slicing import Slicing
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Conversation, ImageRef, Message, Origin

TOKENIZER = TextTokenizer.load(Path(__file__).parents[2] / "golden" / "minicpmv2" / "tokenizer")
SLICING = Slicing(scale_resolution=84, query_num=16, max_slice_nums=4)


@pytest.fixture
def view(tmp_path: Path) -> View:
    Image.new("RGB", (60, 60), "red").save(tmp_path / "a<b>.png")
    Image.new("RGB", (300, 80), "blue").save(tmp_path / "wide.png")
    messages = (
        Message("user", "<image_00> what?"),
        Message("assistant", "red"),
        Message("user", "and <image_01>"),
        Message("assistant", "blue"),
    )
    images = (ImageRef("<image_00>", str(tmp_path / "a<b>.png")), ImageRef("<image_01>", str(tmp_path / "wide.png")))
    return Microscope(MiniCPMVChat(SLICING), TOKENIZER).look(Conversation(messages, Origin("a.json", 0), images=images))


def test_slots_are_shown_as_one_and_counted_each(view: View) -> None:
    (row,) = view.rows
    assert row.example is not None
    slots = [item for item in row.shown if item.text.startswith(SLOTS)]
    assert len(slots) == sum(len(picture.slots) for picture in row.example.pictures) > 2
    assert all(item.text == f"{SLOTS}16" and len(item.ids) == len(item.labels) == 16 for item in slots)
    assert sum(len(item.ids) for item in row.shown) == row.counts.tokens == len(row.example.input_ids)


def test_the_proof_holds_where_later_questions_have_pictures_of_their_own(view: View) -> None:
    assert view.good and len(view.proofs) == 2


def test_figures_hold_every_image_and_escape_names(view: View) -> None:
    example = view.rows[0].example
    assert example is not None
    one, two = figures(example, SLICING)
    assert one.count("<img ") == 1 and two.count("<img ") == len(example.pictures[1].slots)
    assert "a&lt;b&gt;.png" in one and "<b>" not in one.replace("<br>", "")
    assert 'src="data:image/png;base64,' in one and 'class="grid c' in two
    Path(example.pictures[0].path).unlink()
    assert "does not exist" in next(figures(example, SLICING))
