"""The published `model.chat`: the same answers, the same defaults, and what is refused instead of left out."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tunesmith import compat
from tunesmith.compat import AutoModel, AutoTokenizer, MiniCPMV
from tunesmith.compat.minicpmv import read_messages
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import ConfigError, ModelError, PictureError, UserError

RUNS = ("square", "tiny20", "two_turn", "text_only", "wide203x88", "grid3x2", "tall70x260")
GREEDY = {"sampling": False, "num_beams": 1, "repetition_penalty": 1.0, "max_new_tokens": 16}

Golden = dict[str, dict[str, Any]]
Models = Callable[[str], MiniCPMV]


@pytest.fixture(scope="session")
def vision(vision_folder: Callable[[str], Path]) -> Models:
    """Return a function that gives the model of a golden case."""
    known: dict[str, MiniCPMV] = {}

    def get(case: str) -> MiniCPMV:
        if case not in known:
            options = {"torch_dtype": torch.float32, "device_map": "cpu"}
            known[case] = AutoModel.from_pretrained(vision_folder(case), trust_remote_code=True, **options)
        return known[case]

    return get


def text_of(model: MiniCPMV, ids: list[int]) -> str:
    """What is shown of the ids of an answer."""
    writer = model._voice.writer()
    for token in ids:
        writer.push(token)
    writer.finish()
    return writer.text.strip()


@pytest.mark.parametrize("name", RUNS)
def test_chat_gives_the_published_answers(name: str, golden_runs: Golden, vision: Models) -> None:
    run = golden_runs[name]
    model = vision(run["case"]).eval()
    image = Image.open(run["picture"]).convert("RGB") if run["picture"] else None
    asked = copy.deepcopy(run["messages"])
    answer, context, used = model.chat(image=image, msgs=asked, context=None, tokenizer=None, **GREEDY)
    assert answer == text_of(model, run["greedy_new_ids"])
    assert context == [*run["messages"], {"role": "assistant", "content": answer}]
    assert asked == run["messages"]
    assert used == {"num_beams": 1, "repetition_penalty": 1.0}
    if name == "tall70x260":  # its ids are whole characters and no special tokens
        assert answer == run["greedy_text"]
    searched, _, used = model.chat(image, json.dumps(run["messages"]), None, None, sampling=False, max_new_tokens=16)
    assert searched == text_of(model, run["beam3_reppen1_2_new_ids"])
    assert used == {"num_beams": 3, "repetition_penalty": 1.2}


def test_the_published_example_word_for_word(
    golden_runs: Golden, vision_folder: Callable[[str], Path], vision: Models
) -> None:
    path = str(vision_folder("chat_sliced"))
    model = AutoModel.from_pretrained(path, trust_remote_code=True, torch_dtype=torch.bfloat16)
    model = model.to(device="cpu", dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=True)
    model.eval()
    image = Image.open(golden_runs["wide203x88"]["picture"]).convert("RGB")
    msgs = [{"role": "user", "content": "What is in the image?"}]
    res, context, _ = model.chat(
        image=image,
        msgs=msgs,
        context=None,
        tokenizer=tokenizer,
        sampling=True,
        temperature=0.7,
        max_new_tokens=8,
        seed=3,
    )
    assert isinstance(model, MiniCPMV) and model.dtype == torch.bfloat16
    assert context == [*msgs, {"role": "assistant", "content": res}]
    assert _ == {"top_p": 0.8, "top_k": 100, "temperature": 0.7, "do_sample": True, "repetition_penalty": 1.05}
    assert tokenizer.encode("a cat") == TextTokenizer.load(path).encode("a cat")
    again = {"tokenizer": tokenizer, "max_new_tokens": 8, "seed": 3}
    assert model.chat(image, msgs, **again)[0] == res
    assert model.chat(image, [*context, msgs[0]], **again)[0] != res


def test_settings_hold_as_published(golden_runs: Golden, vision: Models) -> None:
    run, model = golden_runs["square"], vision("chat_noslice")
    ask = {"image": run["picture"], "msgs": run["messages"], "max_new_tokens": 8}
    _, _, used = model.chat(**ask, sampling=False, num_beams=1, temperature=0.1, top_p=0.3, vision_hidden_states=None)
    assert used == {"num_beams": 1, "repetition_penalty": 1.2}
    greedy, _, used = model.chat(**ask, do_sample=False, repetition_penalty=1.0, num_beams=5)
    assert "num_beams" not in used
    assert greedy == text_of(model, run["greedy_new_ids"][:8])
    assert model.chat(**ask, temperature=1e-6, repetition_penalty=1.0)[0] == greedy


def test_several_pictures_and_texts_like_marks(golden_runs: Golden, vision: Models) -> None:
    model = vision("chat_noslice")
    pictures = [golden_runs["square"]["picture"], golden_runs["tiny20"]["picture"]]
    msgs = [{"role": "user", "content": "Which is <image_00>?"}]
    assert model.chat(pictures, msgs, **GREEDY)[0] != model.chat(pictures[::-1], msgs, **GREEDY)[0]


QUESTION = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"msgs": []}, "must be a list that is not empty"),
        ({"msgs": "[{"}, "not valid JSON"),
        ({"msgs": '{"role": "user"}'}, "must be a list"),
        ({"msgs": [{"role": "system", "content": "x"}]}, "Message 0 is not from 'user' or 'assistant'"),
        ({"msgs": [{"role": "user"}]}, "Message 0 has no text"),
        ({"msgs": ["Hello"]}, "Message 0 is not from"),
        ({"msgs": [{"role": "assistant", "content": "x"}, *QUESTION]}, "The first message must be the user's"),
        ({"msgs": [*QUESTION, {"role": "assistant", "content": "x"}]}, "The last message must be the user's"),
        ({"image": "nowhere.png"}, "'nowhere.png' does not exist"),
        ({"image": 3}, "is of type 'int'"),
        ({"stream": True}, "chat: 'stream' is not known. Known: top_p, top_k"),
        ({"vision_hidden_states": [1]}, "give the picture itself"),
        ({"max_inp_length": 4}, "and max_inp_length is 4. Nothing is cut off"),
        ({"top_p": 7}, "top_p is 7, but must be"),
        ({"max_new_tokens": 3000}, "sees only 2048 in all"),
    ],
)
def test_mistakes_are_told(change: dict[str, Any], complaint: str, vision: Models) -> None:
    with pytest.raises(UserError, match=complaint):
        vision("chat_noslice").chat(**{"image": None, "msgs": QUESTION, **change})


def test_messages_are_copied() -> None:
    assert read_messages(QUESTION) == read_messages(json.dumps(QUESTION)) == read_messages(tuple(QUESTION)) == QUESTION
    assert read_messages(QUESTION)[0] is not QUESTION[0]


def test_loading(vision_folder: Callable[[str], Path], tiny_model_folder: Path) -> None:
    folder = vision_folder("chat_noslice")
    with pytest.raises(ConfigError, match="from_pretrained does not know 'load_in_4bit'"):
        AutoModel.from_pretrained(folder, load_in_4bit=True)
    with pytest.raises(ConfigError, match="does not know 'add_bos_token'"):
        AutoTokenizer.from_pretrained(folder, add_bos_token=False)
    with pytest.raises(ConfigError, match="Name one device"):
        AutoModel.from_pretrained(folder, device_map={"vpm": 0, "llm": "cpu"})
    with pytest.raises(ModelError, match=r"'minicpm', which reads text only.*tunesmith\.Session"):
        AutoModel.from_pretrained(tiny_model_folder, device_map="cpu")
    with pytest.raises(ModelError, match="There is no folder 'nowhere'"):
        AutoTokenizer.from_pretrained("nowhere")
    model = AutoModel.from_pretrained(folder, dtype="float32", device_map={"": "cpu"}, low_cpu_mem_usage=True)
    assert model.dtype == torch.float32
    assert model.half() is model.cpu() is model.train(False) is model
    assert model.dtype == torch.float16
    assert model.loaded.model is model.model
    assert isinstance(copy.copy(model), MiniCPMV)
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = model.no_such_thing
    assert AutoModel.from_pretrained(folder, dtype="auto", device_map="auto").config.query_num == 64


def test_a_picture_is_read_when_it_is_asked_about(vision: Models, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match="is not a picture"):
        vision("chat_noslice").chat(tmp_path / "x.png", QUESTION)


def test_the_names_are_lazy() -> None:
    code = "import sys, tunesmith.compat; print({'torch', 'transformers', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert dir(compat) == sorted(compat.__all__)
    assert AutoModel is MiniCPMV
    with pytest.raises(AttributeError, match=r"'tunesmith\.compat' has no attribute 'Nothing'"):
        _ = compat.Nothing
