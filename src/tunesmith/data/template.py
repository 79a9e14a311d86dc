"""A model's own Jinja chat template, compiled in a sandbox as transformers does it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ..errors import DataError, ModelError
from .types import Message


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

    def stop_tokens(self, specials: Sequence[str]) -> tuple[str, ...]:
        """Return the special tokens that the template puts behind an answer."""
        content = "an answer"
        try:
            text = self.render([Message("user", "a question"), Message("assistant", content)], generation_prompt=False)
        except DataError:
            return ()
        rest = text[text.rfind(content) + len(content) :].lstrip() if content in text else ""
        return tuple(token for token in specials if rest.startswith(token))[:1]


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
