"""The published chat.py: pictures as base64, questions as JSON, the history in the caller's hands."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.compat import MiniCPMVChat, img2base64
from tunesmith.errors import ModelError, PictureError, UserError

Golden = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def chat_model(vision_folder: Callable[[str], Path]) -> MiniCPMVChat:
    """The golden case that cuts pictures into slices."""
    return MiniCPMVChat(vision_folder("chat_sliced"))


def ask(chat_model: MiniCPMVChat, **parts: Any) -> str:
    """Ask with a seed of its own: what is drawn depends on the global random state."""
    torch.manual_seed(7)
    return chat_model.chat(parts)


def test_two_rounds_as_in_the_published_script(
    golden_runs: Golden, chat_model: MiniCPMVChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tunesmith.generate.decode.MAX_NEW_TOKENS", 24)
    picture = golden_runs["wide203x88"]["picture"]
    im_64 = img2base64(picture)
    assert im_64 == base64.b64encode(picture.read_bytes())
    msgs = [{"role": "user", "content": "Where should I go to buy a camera?"}]
    answer = ask(chat_model, image=im_64, question=json.dumps(msgs))
    assert answer
    torch.manual_seed(7)
    assert chat_model.model.chat(picture, msgs, sampling=True, temperature=0.7)[0] == answer
    msgs += [{"role": "assistant", "content": answer}, {"role": "user", "content": "Where is this store?"}]
    second = ask(chat_model, image=im_64.decode(), question=json.dumps(msgs, ensure_ascii=True))
    assert second == ask(chat_model, image=f"data:image/png;base64,{im_64.decode()}", question=msgs)
    assert second != answer


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"image": "***"}, "broken base64"),
        ({"image": b"\xff\xfe"}, "broken base64"),
        ({"image": base64.b64encode(b"text").decode()}, "is not a picture"),
        ({"image": ""}, "The input has no 'image'"),
        ({"question": "What is it?"}, "not valid JSON"),
        ({"question": None}, "The input has no 'question'"),
    ],
)
def test_mistakes_are_no_answers(
    change: dict[str, Any], complaint: str, golden_runs: Golden, chat_model: MiniCPMVChat
) -> None:
    msgs = json.dumps([{"role": "user", "content": "What is it?"}])
    with pytest.raises(UserError, match=complaint):
        chat_model.chat({"image": img2base64(golden_runs["square"]["picture"]), "question": msgs, **change})


def test_files_and_folders_that_do_not_fit(tiny_model_folder: Path) -> None:
    with pytest.raises(UserError, match=r"'nowhere\.png' cannot be read: No such file"):
        img2base64("nowhere.png")
    with pytest.raises(ModelError, match="reads text only"):
        MiniCPMVChat(tiny_model_folder)


def test_a_damaged_picture_is_named_with_its_reason(golden_runs: Golden, chat_model: MiniCPMVChat) -> None:
    half = base64.b64encode(golden_runs["square"]["picture"].read_bytes()[:900])
    with pytest.raises(PictureError, match="is damaged"):
        chat_model.chat({"image": half, "question": [{"role": "user", "content": "What is it?"}]})
