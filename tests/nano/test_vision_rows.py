"""Talks about pictures as rows and batches: the project's own layout, labels on answers, pictures in their places."""

from __future__ import annotations

import pytest
import torch

from tunesmith.data.slicing import Slicing
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE
from tunesmith.nano import VISION_MODEL, pretrain_vision, vision_rows

CHAT = vision_rows.layout(Slicing.of(pretrain_vision.SHAPE))


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    """The shipped tokenizer."""
    return TextTokenizer.load(VISION_MODEL)


def test_a_talk_is_a_function_of_its_seed() -> None:
    (picture, questions), (again, same) = vision_rows.talk("a"), vision_rows.talk("a")
    assert picture.tobytes() == again.tobytes() and questions == same
    assert 3 <= len(questions) <= 6 and len({one.kind for one in questions}) == len(questions)


def test_labels_are_the_answers_and_their_ends(tokenizer: TextTokenizer) -> None:
    for seed in range(30):
        picture, questions = vision_rows.talk(seed)
        turns = [text for one in questions for text in (one.text, one.answer)]
        row = vision_rows.render_talk(tokenizer, CHAT, picture, turns)
        labels = row.example.labels
        learned = tokenizer.decode([label for label in labels if label not in (IGNORE, tokenizer.eos_id)])
        assert learned.replace(" ", "") == "".join(one.answer for one in questions).replace(" ", "")
        assert labels.count(tokenizer.eos_id or 0) == len(questions)
        plan = CHAT.slicing.plan(*picture.size)
        assert len(row.pixels) == plan.count
        assert [tuple(pixels.shape[:0:-1]) for pixels in row.pixels] == plan.sizes
        assert sum(end - start for one in row.example.pictures for start, end in one.slots) == plan.slots


def test_the_prompt_is_the_beginning_of_the_row(tokenizer: TextTokenizer) -> None:
    picture, questions = vision_rows.talk(1)
    turns = [questions[0].text, questions[0].answer]
    row = vision_rows.render_talk(tokenizer, CHAT, picture, turns)
    prompt = vision_rows.render_talk(tokenizer, CHAT, picture, turns[:1], open_turn=True)
    assert row.example.input_ids[: len(prompt.example.input_ids)] == prompt.example.input_ids


def test_batches_hold_every_row_once_and_places_fit(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vision_rows, "POOL", 20)
    found = vision_rows.pool(tokenizer, CHAT, 0, 0, 400)
    assert sum(len(batch.ids_BT) for batch in found) == 20 and len(found) > 2
    slot = tokenizer.unk_id
    for batch in found:
        assert len(batch.ids_BT) == 1 or batch.ids_BT.numel() <= 400
        assert batch.bounds.shape == (len(batch.pixels), 3)
        for row, start, end in batch.bounds.tolist():
            assert end - start == CHAT.slicing.query_num and set(batch.ids_BT[row, start:end].tolist()) == {slot}
    again = vision_rows.pool(tokenizer, CHAT, 0, 0, 400)
    assert all(torch.equal(one.ids_BT, two.ids_BT) for one, two in zip(found, again, strict=True))
