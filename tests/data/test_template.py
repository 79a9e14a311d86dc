"""Jinja templates in their sandbox: what transformers offers, nothing that reaches Python."""

from __future__ import annotations

import pytest

from tunesmith.data.template import Template
from tunesmith.data.types import Message
from tunesmith.errors import DataError, ModelError

TALK = (Message("user", "q"),)


@pytest.mark.parametrize("attack", ["{{ messages.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}"])
def test_template_cannot_reach_python(attack: str) -> None:
    try:
        shown = Template(attack, {}, "bad").render(TALK, generation_prompt=False)
    except DataError as error:
        shown = "" if "refuses" in str(error) else str(error)
    assert shown == ""  # the sandbox hands out nothing


def test_template_cannot_change_the_conversation() -> None:
    with pytest.raises(DataError, match="refuses"):
        Template("{{ messages.append(1) }}", {}, "bad").render(TALK, generation_prompt=False)


def test_template_knows_what_transformers_offers() -> None:
    text = "{{ messages | tojson }}{% generation %}x{% endgeneration %}{{ strftime_now('%Y')|length }}"
    text += "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{{ m.content }}{% endfor %}"
    rendered = Template(text, {}, "t").render(
        (Message("user", "你<"), Message("assistant", "b")), generation_prompt=False
    )
    assert rendered == '[{"role": "user", "content": "你<"}, {"role": "assistant", "content": "b"}]x4b'


def test_invalid_templates_are_said() -> None:
    with pytest.raises(ModelError, match="folder: the chat template is not valid Jinja"):
        Template("{% for %}", {}, "folder")
    with pytest.raises(DataError, match="of folder refuses this conversation: no system, please"):
        Template("{{ raise_exception('no system, please') }}", {}, "folder").render(TALK, generation_prompt=False)


def test_stop_tokens_are_found_by_rendering() -> None:
    chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    specials = ("<|im_start|>", "<|im_end|>", "</s>")
    assert Template(chatml, {}, "t").stop_tokens(specials) == ("<|im_end|>",)
    assert Template("{% for m in messages %}{{ m.content }}{% endfor %}", {}, "t").stop_tokens(specials) == ()
