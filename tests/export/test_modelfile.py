"""Ollama's template writes what the Jinja template writes; one that does more is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tunesmith.data.template import Template, read_template, shipped_names
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.data.types import Message
from tunesmith.errors import ConfigError
from tunesmith.export.modelfile import frames
from tunesmith.locate import locate

TALK = (Message("system", "s"), Message("user", "one\n"), Message("assistant", "two"), Message("user", "three"))
DEFAULT_SYSTEM = (
    "{% if messages[0].role != 'system' %}<s>be good</s>{% endif %}{% for m in messages %}"
    "[{{ m.role }}]{{ m.content }}{% endfor %}"
)
TRIMMED_HISTORY = "{% for m in messages[-1:] %}[{{ m.role }}]{{ m.content }}{% endfor %}"


def tokenizer(template: str | None) -> TextTokenizer:
    return replace(TextTokenizer.load(locate("nano-minicpm")), chat_template=template)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_templates_are_said_alike(name: str) -> None:
    found, text = frames(tokenizer(read_template(name))), read_template(name)
    template = Template(text, tokenizer(text).special, "test")
    assert found.written(TALK) == template.render(TALK, True) or name == "human-assistant"
    assert found.written(TALK[1:2]) == template.render(TALK[1:2], True) or name == "human-assistant"


def test_chatml_in_ollamas_words() -> None:
    assert frames(tokenizer(read_template("chatml"))).template() == (
        "{{ range .Messages }}"
        '{{ if eq .Role "system" }}<|im_start|>system\n{{ .Content }}<|im_end|>\n{{ end }}'
        '{{ if eq .Role "user" }}<|im_start|>user\n{{ .Content }}<|im_end|>\n{{ end }}'
        '{{ if eq .Role "assistant" }}<|im_start|>assistant\n{{ .Content }}<|im_end|>\n{{ end }}'
        "{{ end }}<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("template", [None, DEFAULT_SYSTEM, TRIMMED_HISTORY, "{{ raise_exception('no') }}"])
def test_other_templates_are_refused(template: str | None) -> None:
    with pytest.raises(ConfigError, match="Ollama's language|no chat template"):
        frames(tokenizer(template))
