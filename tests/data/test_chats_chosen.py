"""Chat templates by choice: the shipped layouts token for token, training and chat alike, and who may choose."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.data.chat import RenderOptions, render
from tunesmith.data.chats import MarkerChat, load_chat, model_type_of, with_template
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE, Conversation, Message
from tunesmith.errors import ConfigError, ModelError

GOLDEN = Path(__file__).parents[1] / "golden"
TEXT_MODEL, VISION_MODEL = GOLDEN / "tokenizers" / "minicpm-2b", GOLDEN / "minicpmv2" / "tokenizer"
MINICPM = TextTokenizer.load(TEXT_MODEL)
TALK = (
    Message("system", "Translate."),
    Message("user", "hello"),
    Message("assistant", "你好"),
    Message("user", "tea"),
    Message("assistant", "茶"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[[dict[str, object]], Path]:
    """Return a function: config.json -> a folder with it and a tokenizer without a template."""

    def make(config: dict[str, object]) -> Path:
        shutil.copyfile(TEXT_MODEL / "tokenizer.json", tmp_path / "tokenizer.json")
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return make


def test_the_official_layout_is_the_whole_text_tokenised_once() -> None:
    _, chat = load_chat(TEXT_MODEL, "human-assistant")
    example = render(Conversation(TALK), chat, MINICPM)
    text = "Translate.\nHuman:\nhello\nAssistant:\n你好</s>Human:\ntea\nAssistant:\n茶</s>"
    assert example.input_ids == MINICPM.encode(text)
    assert {label - number for number, label in zip(example.input_ids, example.labels, strict=True) if label >= 0} == {
        0
    }
    learned = MINICPM.backend.decode([label for label in example.labels if label != IGNORE], skip_special_tokens=False)
    assert learned == "你好</s>茶</s>" and [example.labels[stop] for stop in example.stops] == [2, 2]


def test_a_token_that_stands_across_the_border_is_split_there() -> None:
    """Tokenising it all at once may join the template's line break with one of the answer; chat cannot know of that."""
    _, chat = load_chat(TEXT_MODEL, "human-assistant")
    asked = (Message("user", "a"),)
    prompt = render(Conversation(asked), chat, MINICPM, open_turn=True).input_ids
    for answer in ("\n\n\nx", "  y", "\n", " "):
        talk = Conversation((*asked, Message("assistant", f"{answer}!")))
        example = render(talk, chat, MINICPM)
        assert example.input_ids[: len(prompt)] == prompt and set(example.labels[: len(prompt)]) == {IGNORE}
        assert example.labels[len(prompt) :] == example.input_ids[len(prompt) :]
        assert MINICPM.decode(example.input_ids) == f"Human:\na\nAssistant:\n{answer}!"


def test_an_unknown_word_in_the_text_is_learned_like_any_other() -> None:
    _, chat = load_chat(TEXT_MODEL, "human-assistant")
    example = render(Conversation((Message("user", "a<unk>"), Message("assistant", "b<unk>c"))), chat, MINICPM)
    assert example.input_ids.count(0) == 2 and example.labels.count(0) == 1


def test_chatml_without_its_tokens_ends_answers_with_the_end_token() -> None:
    tokenizer, chat = load_chat(TEXT_MODEL, "chatml")
    assert tokenizer.id("<|im_end|>") is None
    assert chat.stop_ids(tokenizer) == (2,) and chat.stop_texts == ("<|im_end|>",)
    example = render(Conversation(TALK), chat, tokenizer)
    first, last = example.stops
    assert example.labels[first] == 2 and tokenizer.backend.id_to_token(example.input_ids[first]) == "<"
    assert example.input_ids[last] == example.labels[last] == 2 and last == len(example.labels) - 1
    assert tokenizer.decode(example.input_ids).endswith("<|im_start|>assistant\n茶")
    for how in (RenderOptions(end_of_turn="last"), RenderOptions(loss_on="all")):
        assert render(Conversation(TALK), chat, tokenizer, how).labels[-1] == 2


texts = st.text(alphabet="你好ab =><|\n1:HumanAssistant", min_size=1, max_size=10).filter(lambda text: text.strip())


@settings(max_examples=80, deadline=None)
@given(contents=st.lists(texts, min_size=2, max_size=6), system=st.none() | texts)
@pytest.mark.parametrize("name", ["human-assistant", "chatml", "minicpm"])
def test_the_prompt_of_a_row_is_what_chat_sends(name: str, contents: list[str], system: str | None) -> None:
    tokenizer, chat = load_chat(TEXT_MODEL, name)
    messages = [Message("system", system)] if system else []
    messages += [
        Message(("user", "assistant")[number % 2], text)
        for number, text in enumerate(contents[: -1 if len(contents) % 2 else None])
    ]
    row = render(Conversation(tuple(messages)), chat, tokenizer)
    for number, message in enumerate(messages):
        if message.role == "assistant":
            prompt = render(Conversation(tuple(messages[:number])), chat, tokenizer, open_turn=True).input_ids
            assert row.input_ids[: len(prompt)] == prompt
            assert row.labels[len(prompt)] == row.input_ids[len(prompt)]  # there the answer begins


def test_transnormer_has_the_official_layout_unless_another_is_chosen(folder: Callable[..., Path]) -> None:
    place = folder({"architectures": ["TransnormerForCausalLM"], "auto_map": {"AutoConfig": "configuration.X"}})
    text = "Human:\nq\nAssistant:\n"
    asked = Conversation((Message("user", "q"),))
    for choice, written in ((None, text), ("human-assistant", text), ("minicpm", "<用户>q<AI>")):
        tokenizer, chat = load_chat(place, choice)
        ids = render(asked, chat, tokenizer, open_turn=True).input_ids
        assert tokenizer.decode(ids).removeprefix("<s>") == written
        assert tokenizer.chat_template is not None  # it decides about rows, so it belongs into their fingerprint


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "llama", "architectures": ["TransnormerForCausalLM"]}, "llama"),
        ({"architectures": ["TransnormerForCausalLM"]}, "transnormer"),
        ({"architectures": [None, "Other", "TransnormerForCausalLM"]}, "transnormer"),
        ({"architectures": ["LlamaForCausalLM"]}, None),
        ({"architectures": "TransnormerForCausalLM"}, None),
        ({"model_type": 3, "architectures": ["TransnormerForCausalLM"]}, None),
        ({}, None),
    ],
)
def test_model_type(config: dict[str, object], kind: str | None) -> None:
    assert model_type_of(config) == kind


def test_a_model_without_template_and_choice(folder: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"no chat template.*chatml, human-assistant, minicpm"):
        load_chat(folder({"model_type": "llama"}))
    assert load_chat(folder({"model_type": "llama"}), "minicpm")[1] == MarkerChat()


def test_a_choice_that_replaces_another_template_is_said_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.WARNING, "tunesmith"):
        own = TextTokenizer(MINICPM.backend, MINICPM.special, "{{ messages[0].content }}", "folder")
        assert with_template(own, "llama") is own
        with_template(TextTokenizer(MINICPM.backend, MINICPM.special), "llama", "chatml")
        file = tmp_path / "same.jinja"
        file.write_text("{{ messages[0].content }}")
        with_template(own, "llama", str(file))
        assert caplog.messages == []
        assert with_template(own, "llama", "chatml").chat_template != own.chat_template
    assert caplog.messages == ["folder has a chat template of its own; 'chatml' is used instead."]


def test_a_model_that_sees_takes_no_template(tmp_path: Path) -> None:
    shutil.copytree(VISION_MODEL, tmp_path / "v")
    (tmp_path / "v" / "config.json").write_text('{"model_type": "minicpmv"}')
    with pytest.raises(ConfigError, match="chat_template: chatml - a model that sees has its own layout"):
        load_chat(tmp_path / "v", "chatml")
