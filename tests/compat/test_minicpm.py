"""The published `model.chat` of MiniCPM: its answers, its defaults, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM as Plain
from transformers import AutoTokenizer as PlainTokenizer

import tunesmith.models  # noqa: F401 - registers the native classes
from tunesmith.compat import AutoModelForCausalLM, AutoTokenizer, MiniCPM
from tunesmith.errors import ConfigError, ModelError, UserError
from tunesmith.locate import locate

QUESTIONS = ["Who are you?", "你是谁？", "What is two plus three?"]


@pytest.fixture(scope="module")
def path() -> str:
    return str(locate("nano-minicpm"))


@pytest.fixture(scope="module")
def model(path: str) -> MiniCPM:
    found: MiniCPM = AutoModelForCausalLM.from_pretrained(
        path, torch_dtype=torch.float32, device_map="cpu", trust_remote_code=True
    )
    return found


def published_chat(path: str, history: list[dict[str, str]], **settings: Any) -> str:
    """Answer as the published code does: template, tokenizer, generate, and what it cuts off."""
    model = Plain.from_pretrained(path, dtype=torch.float32)
    tokenizer = PlainTokenizer.from_pretrained(path)
    inputs = tokenizer(tokenizer.apply_chat_template(history, tokenize=False), return_tensors="pt")
    ids = model.generate(**inputs, max_length=256, pad_token_id=0, **settings).tolist()[0]
    answer = tokenizer.decode(ids[len(inputs["input_ids"][0]) : -1])
    return next(iter(re.findall(r".*?(?=<AI>|<用户>)", answer, re.DOTALL)), answer)


@pytest.mark.parametrize("question", QUESTIONS)
def test_chat_gives_the_published_answers(question: str, path: str, model: MiniCPM) -> None:
    greedy = {"do_sample": False, "top_p": 1.0, "temperature": 1.0}
    asked = {"role": "user", "content": question}
    expected = published_chat(path, [asked], **greedy)
    answer, history = model.chat(AutoTokenizer.from_pretrained(path, trust_remote_code=True), question, **greedy)
    assert answer == expected != ""
    assert history == [asked, {"role": "assistant", "content": answer}]


def test_a_conversation_goes_on(model: MiniCPM) -> None:
    _, history = model.chat(None, "Who are you?", do_sample=False)
    before = [dict(message) for message in history]
    _, longer = model.chat(None, "And who am I?", history, do_sample=False)
    assert history == before == longer[:2]
    assert [turn["role"] for turn in longer] == ["user", "assistant"] * 2


def test_the_published_example_word_for_word(path: str, model: MiniCPM) -> None:
    tokenizer = AutoTokenizer.from_pretrained(path)
    torch.manual_seed(0)
    answer, history = model.chat(tokenizer, QUESTIONS[0], temperature=0.5, top_p=0.8, repetition_penalty=1.02)
    assert answer and history == [{"role": "user", "content": QUESTIONS[0]}, {"role": "assistant", "content": answer}]
    torch.manual_seed(0)
    assert model.chat(tokenizer, QUESTIONS[0], temperature=0.5, repetition_penalty=1.02)[0] == answer  # top_p is 0.8
    assert model.chat(tokenizer, "Name it.", history, "user", seed=1, num_beams=2, do_sample=False)[1][:2] == history


def test_an_answer_has_room(model: MiniCPM) -> None:
    whole, _ = model.chat(None, QUESTIONS[0], do_sample=False)
    two, _ = model.chat(None, QUESTIONS[0], do_sample=False, max_new_tokens=2)
    assert whole.startswith(two) and two != whole
    prompt = len(model._voice.tokenizer.backend.encode(f"<用户>{QUESTIONS[0]}<AI>").ids)
    assert model.chat(None, QUESTIONS[0], do_sample=False, max_length=prompt + 2)[0] == two
    with pytest.raises(UserError, match=f"The prompt has {prompt} tokens, and max_length is {prompt}"):
        model.chat(None, QUESTIONS[0], max_length=prompt)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"history": "hello"}, "history must be a list of messages"),
        ({"history": ["hello"]}, "is not from one of system, user, assistant"),
        ({"history": [{"role": "user"}]}, "has no text as its 'content'"),
        ({"role": "robot"}, "is not from one of"),
        ({"streamer": 1}, "chat: 'streamer' is not known. Known: max_length"),
        ({"logits_processor": [1]}, "logits_processor is not supported"),
        ({"top_p": 7}, "top_p is 7, but must be"),
        ({"max_new_tokens": 5000}, "sees only 2048 in all"),
    ],
)
def test_mistakes_are_told(change: dict[str, Any], complaint: str, model: MiniCPM) -> None:
    with pytest.raises(UserError, match=complaint):
        model.chat(None, "Hello", **change)


def test_what_it_is_made_of(model: MiniCPM, tiny_model_folder: Path) -> None:
    assert model.eval().to("cpu") is model
    assert model.config.model_type == "minicpm"
    assert isinstance(MiniCPM(model.loaded), MiniCPM)
    with pytest.raises(ConfigError, match="from_pretrained does not know 'load_in_8bit'"):
        AutoModelForCausalLM.from_pretrained(tiny_model_folder, load_in_8bit=True)
    with pytest.raises(ModelError, match="shown pictures too: use AutoModel"):
        AutoModelForCausalLM.from_pretrained("nano-minicpmv", device_map="cpu")
