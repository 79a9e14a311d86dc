"""Jinja chat templates: a model's own or a chosen one, compiled in a sandbox as transformers does it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from .. import lookup
from ..errors import ConfigError, DataError, ModelError
from .types import Message

SHIPPED = Path(__file__).parent / "templates"
"""The templates that can be chosen by name: `<name>.jinja`."""


def shipped_names() -> list[str]:
    """Return the names of the shipped templates, sorted."""
    return sorted(file.stem for file in SHIPPED.glob("*.jinja"))


def read_template(name_or_path: str) -> str:
    """Return the text of a shipped template, by its name, or of a `.jinja` file, by its path.

    Raises:
        ConfigError: there is no such template or file; the message offers the nearest name and lists all.
    """
    known = shipped_names()
    file = SHIPPED / f"{name_or_path}.jinja" if name_or_path in known else Path(name_or_path).expanduser()
    if name_or_path not in known and file.suffix != ".jinja":
        raise ConfigError(
            f"chat_template: there is no template '{name_or_path}'{lookup.nearest(name_or_path, known) or '.'} "
            f"Known: {', '.join(known)}; or give the path of a .jinja file."
        )
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"chat_template: '{file}' cannot be read: {reason}. Give the path of a .jinja file."
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"chat_template: '{file}' is not UTF-8 text. Save it as UTF-8.") from None


class Template:
    """A compiled chat template; `special` gives it bos_token, eos_token and so on, `source` names it in errors.

    Raises:
        ModelError: the template is not valid Jinja.
    """

    def __init__(self, text: str, special: dict[str, str], source: str) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self._text, self._special, self._source = text, dict(special), source
        try:
            self._template = environment.from_string(text)
        except jinja2.TemplateError as error:
            raise ModelError(f"{source}: the chat template is not valid Jinja: {error}.") from None

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as the text: a compiled template cannot."""
        return Template, (self._text, self._special, self._source)

    @property
    def knows_tools(self) -> bool:
        """Whether the template has its own words for tools and for calling them."""
        return "tools" in self._text and "tool_calls" in self._text

    def render(self, messages: Sequence[Message], generation_prompt: bool, tools: str = "") -> str:
        """Return the conversation as text; `tools` is a JSON list of tool descriptions.

        Raises:
            DataError: the template refuses this conversation (its own words are passed on).
        """
        known = {"add_generation_prompt": generation_prompt, "documents": None, **self._special}
        try:
            turns = [_turn(message) for message in messages]
            return self._template.render(messages=turns, tools=json.loads(tools) if tools else None, **known)
        except (jinja2.TemplateError, TypeError, ValueError, KeyError, RecursionError) as error:
            raise DataError(f"the chat template of {self._source} refuses this conversation: {error}.") from None

    def renders(self, messages: Sequence[Message], text: str) -> bool:
        """Tell whether the conversation is written as exactly this text."""
        try:
            return self.render(messages, generation_prompt=True) == text
        except DataError:
            return False

    def ending(self, specials: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return what the template puts behind an answer: (special tokens, texts), one of the two or neither.

        A text is what an answer is over at where no special token stands: ChatML's mark in a vocabulary without it.
        """
        content = "an answer"
        try:
            text = self.render([Message("user", "a question"), Message("assistant", content)], generation_prompt=False)
        except DataError:
            return (), ()
        rest = text[text.rfind(content) + len(content) :].strip() if content in text else ""
        tokens = tuple(token for token in specials if rest.startswith(token))[:1]
        return tokens, (rest,) if rest and not tokens else ()


def _turn(message: Message) -> dict[str, Any]:
    """Return a message as templates know it."""
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.calls:
        calls = json.loads(message.calls)
        calls = calls if isinstance(calls, list) else [calls]
        turn["tool_calls"] = [{"type": "function", "function": call} for call in calls]
    return turn


class _Generation(jinja2.ext.Extension):
    """`{% generation %} ... {% endgeneration %}` of transformers' templates: the body is written as it is."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Any) -> Any:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    """Write JSON without the HTML escapes of Jinja's own filter, as transformers does."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)
