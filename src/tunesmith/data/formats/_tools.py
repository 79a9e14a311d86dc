"""Descriptions of tools, and calls of tools: checked, and brought into one JSON text each."""

from __future__ import annotations

import json
from typing import Any

from ...errors import RecordError
from ..sources.json_faults import explain
from ..types import Origin
from ._fields import empty, kind, text_of

_CALL = '{"name": "...", "arguments": {...}}'


def tools_of(value: Any, field: str, origin: Origin) -> str:
    """Return descriptions of tools, given as a list or as the text of one, as the text; empty where there are none.

    Raises:
        RecordError: it is no list of objects, or no JSON.
    """
    if empty(value) or (isinstance(value, str) and not value.strip()):
        return ""
    tools = _read(text_of(value, field, origin), field, origin) if isinstance(value, str) else value
    mend = 'Write a list of descriptions: [{"name": ..., "description": ..., "parameters": {...}}].'
    if not isinstance(tools, list):
        raise RecordError(origin, field, f"it is {kind(tools)}, not a list of tools.", mend)
    for number, tool in enumerate(tools):
        if not isinstance(tool, dict):
            raise RecordError(origin, f"{field}[{number}]", f"it is {kind(tool)}, not an object.", mend)
    if not tools:
        return ""
    return value if isinstance(value, str) else _write(tools, field, origin)


def calls_of(value: Any, field: str, origin: Origin) -> str:
    """Return OpenAI's `tool_calls` (a list) or `function_call` (an object) as Message.calls; empty where it is empty.

    Raises:
        RecordError: a call without a name or without arguments that are an object.
    """
    if empty(value):
        return ""
    if isinstance(value, dict):
        return _write(_call(value, field, origin), field, origin)
    if not isinstance(value, list):
        raise RecordError(origin, field, f"it is {kind(value)}, not a list of calls.", f"Write [{_CALL}].")
    calls = [_call(call, f"{field}[{number}]", origin) for number, call in enumerate(value)]
    return _write(calls[0] if len(calls) == 1 else calls, field, origin)


def calls_in(value: Any, field: str, origin: Origin) -> str:
    """Return calls that are written as a JSON text, the text unchanged; arguments that are texts become objects.

    Raises:
        RecordError: it is no JSON, or a call lacks its name or its arguments.
    """
    text = text_of(value, field, origin)
    found = _read(text, field, origin)
    if not found or not isinstance(found, (dict, list)):
        state = "empty" if isinstance(found, (dict, list)) else kind(found)
        raise RecordError(origin, field, f"it is {state}, not a call of a tool.", f"Write {_CALL}, or a list of these.")
    many = isinstance(found, list)
    calls = [
        _call(call, f"{field}[{number}]" if many else field, origin)
        for number, call in enumerate(found if isinstance(found, list) else [found])
    ]
    if all(isinstance(call["arguments"], dict) for call in (found if isinstance(found, list) else [found])):
        return text
    return _write(calls if many else calls[0], field, origin)


def _call(call: Any, field: str, origin: Origin) -> dict[str, Any]:
    """Return one call as its name and its arguments as an object."""
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        call, field = call["function"], f"{field}.function"
    if not isinstance(call, dict):
        raise RecordError(origin, field, f"it is {kind(call)}, not a call of a tool.", f"Write {_CALL}.")
    for name in ("name", "arguments"):
        if call.get(name) is None:
            state = "null" if name in call else "missing"
            raise RecordError(
                origin, f"{field}.{name}", f"it is {state}: a call has a name and arguments.", f"Write {_CALL}."
            )
    name, arguments = call["name"], call["arguments"]
    if not text_of(name, f"{field}.name", origin).strip():
        raise RecordError(origin, f"{field}.name", "it is empty: no tool is called.", "Give the name of the tool.")
    if isinstance(arguments, str):
        arguments = _read(text_of(arguments, f"{field}.arguments", origin), f"{field}.arguments", origin)
    if not isinstance(arguments, dict):
        reason = f"it is {kind(arguments)}, not an object."
        raise RecordError(origin, f"{field}.arguments", reason, "Write the arguments by name: {...}.")
    return {"name": name, "arguments": arguments}


def _read(text: str, field: str, origin: Origin) -> Any:
    try:
        value = json.loads(text, parse_constant=_refuse)
        if "\\ud" in text.casefold():  # an escape may hide half of a surrogate pair
            _write(value, field, origin)
        return value
    except json.JSONDecodeError as error:
        reason = f"it is not valid JSON at character {error.pos}:"
        raise RecordError(origin, field, reason, explain(error)) from None
    except (ValueError, RecursionError) as error:
        raise RecordError(origin, field, f"it is not valid JSON: {error}.", "Write plain JSON.") from None


def _write(value: Any, field: str, origin: Origin) -> str:
    try:
        return text_of(json.dumps(value, ensure_ascii=False, allow_nan=False), field, origin)
    except (TypeError, ValueError) as error:
        raise RecordError(origin, field, f"it cannot be written as JSON: {error}.", "Write plain JSON.") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")
