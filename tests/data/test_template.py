"""Jinja templates in their sandbox: what transformers offers, nothing that reaches Python."""

from __future__ import annotations

from pathlib import Path

import pytest

from tunesmith.data.template import Template, read_template, shipped_names
from tunesmith.data.types import Message
from tunesmith.errors import ConfigError, DataError, ModelError

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


def test_what_stands_behind_an_answer_is_found_by_rendering() -> None:
    chatml = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    specials = ("<|im_start|>", "<|im_end|>", "</s>")
    assert Template(chatml, {}, "t").ending(specials) == (("<|im_end|>",), ())
    assert Template(chatml, {}, "t").ending(("</s>",)) == ((), ("<|im_end|>",))  # no token of this vocabulary
    assert Template("{% for m in messages %}{{ m.content }}\n{% endfor %}", {}, "t").ending(specials) == ((), ())
    assert Template("{{ raise_exception('no') }}", {}, "t").ending(specials) == ((), ())


def test_shipped_templates_are_found_by_name() -> None:
    assert shipped_names() == ["chatml", "human-assistant", "minicpm"]
    talk = (Message("system", "s"), Message("user", "q"), Message("assistant", "a"), Message("user", "r"))
    written = {
        "chatml": "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
        "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n",
        "human-assistant": "s\nHuman:\nq\nAssistant:\na</s>Human:\nr\nAssistant:\n",
        "minicpm": "s<用户>q<AI>a<用户>r<AI>",
    }
    for name, text in written.items():
        assert Template(read_template(name), {"eos_token": "</s>"}, name).render(talk, generation_prompt=True) == text


def test_a_template_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    with pytest.raises(ConfigError, match=r"mine\.jinja' cannot be read: No such file.*path of a \.jinja file"):
        read_template(str(file))
    file.write_text("你好{{ messages }}", encoding="utf-8")
    assert read_template(str(file)) == "你好{{ messages }}"
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_template(str(file))


@pytest.mark.parametrize(
    ("name", "nearest"), [("chatlm", "did you mean 'chatml'"), ("", "no template ''"), ("x/y", "x/y")]
)
def test_an_unknown_template_names_the_known_ones(name: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match="chatml, human-assistant, minicpm") as caught:
        read_template(name)
    assert nearest in str(caught.value)
