"""Which chat format a model has, and how tools are written in formats with and without words for them."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tunesmith.data.chat import RenderOptions, render
from tunesmith.data.chats import JinjaChat, MarkerChat, chat_for, load_chat, template_chat, with_tools_in_text
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import IGNORE, Conversation, Message
from tunesmith.errors import ModelError, RecordError

FOLDER = Path(__file__).parents[1] / "golden" / "tokenizers" / "minicpm-2b"
MINICPM = TextTokenizer.load(FOLDER)
TOOLS = json.dumps([{"type": "function", "function": {"name": "weather", "parameters": {}}}])
CALL = json.dumps({"name": "weather", "arguments": {"city": "南京"}}, ensure_ascii=False)
TOOL_TEMPLATE = (
    "{% if tools %}{{ '<s>tools: ' + tools[0].function.name + '\n' }}{% endif %}{% for m in messages %}"
    "{{ m.role + ':' + m.content }}{% for c in m.tool_calls or [] %}{{ '[' + c.function.name + ' '"
    " + c.function.arguments.city + ']' }}{% endfor %}{{ '</s>' if m.role == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
TALK = (
    Message("system", "帮忙。"),
    Message("user", "天气？"),
    Message("assistant", "", calls=CALL),
    Message("tool", "晴"),
    Message("assistant", "晴天。"),
)


def tokenizer(template: str | None = None) -> TextTokenizer:
    return TextTokenizer(MINICPM.backend, MINICPM.special, template)


def test_a_model_without_template_has_what_its_type_is_known_for(tmp_path: Path) -> None:
    assert chat_for("minicpm", tokenizer()) == MarkerChat()
    with pytest.raises(ModelError, match="no chat template"):
        chat_for("llama", tokenizer())
    for name in ("config.json", "mlc-chat-config.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        for file in ("tokenizer.json",):
            (folder / file).write_bytes((FOLDER / file).read_bytes())
        with pytest.raises(ModelError, match="no chat template"):
            load_chat(folder)
        (folder / name).write_text('{"model_type": "minicpm"}')
        assert load_chat(folder)[1] == MarkerChat()
        (folder / name).write_text("{")
        with pytest.raises(ModelError, match="not valid JSON"):
            load_chat(folder)


def test_formats_travel_to_workers() -> None:
    chat = template_chat(tokenizer(TOOL_TEMPLATE))
    assert isinstance(chat, JinjaChat)
    again = pickle.loads(pickle.dumps(chat))
    conversation = Conversation(TALK, tools=TOOLS)
    assert render(conversation, again, MINICPM) == render(conversation, chat, MINICPM)
    assert pickle.loads(pickle.dumps(MarkerChat())) == MarkerChat()


def test_tools_in_the_words_of_the_template() -> None:
    chat, conversation = template_chat(tokenizer(TOOL_TEMPLATE)), Conversation(TALK, tools=TOOLS)
    example = render(conversation, chat, MINICPM)
    text = MINICPM.backend.decode(example.input_ids, skip_special_tokens=False)
    assert "tools: weather" in text and "[weather 南京]" in text and CALL not in text
    learned = [label for label in example.labels if label != IGNORE]
    assert MINICPM.decode(learned) == "[weather 南京]晴天。" and len(example.stops) == 2
    for number, message in enumerate(TALK):
        if message.role == "assistant":
            prompt = render(Conversation(TALK[:number], tools=TOOLS), chat, MINICPM, open_turn=True).input_ids
            assert example.input_ids[: len(prompt)] == prompt


def test_tools_in_text_where_the_layout_has_no_words_for_them() -> None:
    for chat in (MarkerChat(), template_chat(tokenizer("{% for m in messages %}{{ m.role + m.content }}{% endfor %}"))):
        text = MINICPM.decode(render(Conversation(TALK, tools=TOOLS), chat, MINICPM).input_ids)
        assert TOOLS in text and CALL in text
        without = MINICPM.decode(render(Conversation(TALK[1:], tools=TOOLS), chat, MINICPM).input_ids)
        assert "Tools that you can call" in without
    plain = Conversation(TALK[:2] + TALK[4:])
    assert with_tools_in_text(plain) is plain
    both = with_tools_in_text(Conversation((Message("assistant", "Look:", calls=CALL),)))
    assert both.messages[0].content == f"Look:\n{CALL}" and not both.messages[0].calls


def test_a_template_that_refuses_tools_names_the_record() -> None:
    chat = template_chat(tokenizer("{{ raise_exception('no tools') if tools else '' }}{{ messages[0].tool_calls }}"))
    with pytest.raises(RecordError, match="no tools"):
        render(Conversation(TALK, tools=TOOLS), chat, MINICPM, RenderOptions())
