"""The log-probabilities are those of the plain logits, packed, padded or behind a cache, in every family."""

from __future__ import annotations

import pytest
import torch

from tunesmith.data.chat import RenderOptions, render
from tunesmith.data.types import Conversation, Example, ImageRef, Message, Pack
from tunesmith.eval.likelihood import Likelihood, batches
from tunesmith.models.load import Loaded, load
from tunesmith.nano import DATA

MODELS = ["nano-minicpm", "nano-transnormer", "nano-minicpmv"]
QUESTIONS = ["你是谁？", "What is two plus three, and what is it times four?", "No"]
ANSWERS = ["five", "我不知道。", "I am not sure at all.", "five"]


@pytest.fixture(scope="module", params=MODELS)
def loaded(request: pytest.FixtureRequest) -> Loaded:
    return load(request.param, device="cpu", dtype="float32")


def rows(model: Likelihood, question: str, picture: bool = False) -> list[Example]:
    images = (ImageRef("<p>", str(DATA / "pictures" / "images" / "0000.png")),) if picture else ()
    asked = Message("user", f"<p>\n{question}" if picture else question)
    return [
        render(
            Conversation((asked, Message("assistant", answer)), images=images),
            model.chat,
            model.tokenizer,
            RenderOptions(loss_on="last_answer"),
        )
        for answer in ANSWERS[:3]
    ]


@torch.no_grad()
def plain(model: Likelihood, row: Example) -> torch.Tensor:
    """Return the definition: the log-softmax of the model's own logits of this row alone."""
    pictures = {}
    if row.pictures:
        assert model._loader is not None
        pixels, slots = model._loader.load(row)
        bound = torch.tensor([(0, *stretch) for stretch in slots])
        pictures = {"pixel_values": pixels, "image_bound": bound}
    logps_TV = model.inner(input_ids=torch.tensor([row.input_ids]), **pictures).logits[0, :-1].double().log_softmax(-1)
    labels = torch.tensor(row.labels[1:])
    return logps_TV[labels != -100].gather(1, labels[labels != -100, None])[:, 0]


def test_of_rows_padded_and_packed(loaded: Loaded) -> None:
    model = Likelihood(loaded)
    every = [row for question in QUESTIONS for row in rows(model, question)]
    wanted = [plain(model, row) for row in every]
    for found in (model.logps(every), model.logps([Pack(tuple(every[:5])), Pack(tuple(every[5:]))])):
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)


def test_what_rows_share_is_computed_once(loaded: Loaded) -> None:
    model = Likelihood(loaded)
    groups = [rows(model, question, picture=model.chat.sees and bool(n)) for n, question in enumerate(QUESTIONS)]
    groups[2] = groups[2][:2]  # another number of choices
    found = model.groups(groups)
    assert model._shares is True
    for group, scores in zip(groups, found, strict=True):
        for row, one in zip(group, scores, strict=True):
            torch.testing.assert_close(one, plain(model, row), atol=2e-4, rtol=1e-4)


def test_a_cache_that_gives_other_numbers_is_left(nano: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Likelihood(nano)
    behind = model._behind_shared
    monkeypatch.setattr(model, "_behind_shared", lambda groups: [[one + 0.5 for one in g] for g in behind(groups)])
    group = rows(model, QUESTIONS[0])
    (found,) = model.groups([group])
    assert model._shares is False
    for row, one in zip(group, found, strict=True):
        torch.testing.assert_close(one, plain(model, row), atol=2e-4, rtol=1e-4)


def test_without_a_known_head_the_models_own_logits_count(nano: Loaded) -> None:
    model = Likelihood(nano)
    group = rows(model, QUESTIONS[1])
    model.head = None
    for found in (model.logps(group), model.groups([group])[0]):
        for row, one in zip(group, found, strict=True):
            torch.testing.assert_close(one, plain(model, row), atol=2e-4, rtol=1e-4)


def test_batches_hold_every_row_once_and_no_more_tokens_than_allowed() -> None:
    lengths = [5, 90, 30, 31, 5, 2, 64]
    found = list(batches(lengths, tokens=64))
    assert sorted(number for batch in found for number in batch) == list(range(7))
    assert found[0] == [1]  # longer than allowed: alone
    assert all(len(batch) * max(lengths[n] for n in batch) <= 64 for batch in found[1:])
    assert list(batches(lengths, tokens=200, alone_from=30))[:3] == [[1], [6], [3]]
