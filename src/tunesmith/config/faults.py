"""What is wrong with a configuration, in words: pydantic's errors -> one line for each setting."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from ..lookup import nearest
from .names import Keys, dotted_names, fields_at, other_names

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a section of `key: value` lines",
    "model": "a section of `key: value` lines",
    "dataclass": "a section of `key: value` lines",
    "none": "empty",
}
_BOUNDS = {
    "greater_than": "more than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
    "finite_number": "a finite number",
    "too_short": "of length {min_length} or more",
    "too_long": "of length {max_length} or less",
    "string_too_short": "of length {min_length} or more",
    "string_too_long": "of length {max_length} or less",
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with the setting at `keys`; `text` begins with its dotted path."""

    keys: Keys
    text: str


def explain(schema: type[BaseModel], tree: Mapping[str, Any], error: ValidationError) -> list[Fault]:
    """Return the faults, in the order of the settings; what the branches of a union expect is told in one."""
    expected: dict[Keys, list[str]] = {}
    texts: dict[Keys, str] = {}
    for one in error.errors(include_url=False):
        keys = _keys(tree, one["loc"], one["type"] == "missing")
        dotted = ".".join(str(key) for key in keys) or "the configuration"
        if one["type"] == "extra_forbidden":
            texts[keys] = f"{dotted} {_unknown(schema, tree, keys)}"
        elif one["type"] == "missing":
            texts[keys] = f"{dotted} is missing{_description(schema, tree, keys)}."
        elif one["type"] in ("value_error", "assertion_error"):
            texts[keys] = f"{f'{dotted}: ' if keys else ''}{one['ctx']['error']}"
            texts[keys] += "" if texts[keys].endswith((".", "?")) else "."
        else:
            wanted = expected.setdefault(keys, [])
            wanted += [text for text in [_expected(one)] if text not in wanted]
            texts[keys] = f"{dotted} is {_show(one['input'])}, but must be {' or '.join(wanted)}"
            if one["type"] in ("literal_error", "enum") and isinstance(one["input"], str):
                texts[keys] += nearest(one["input"], re.findall(r"'([^']*)'", one["ctx"]["expected"]))
            texts[keys] += "" if texts[keys].endswith("?") else "."
    # Where an item of a list is wrong, what the other branch of the union says of the whole list is only noise.
    inner = [keys for keys in texts if any(keys[: len(outer)] == outer for outer in expected if len(outer) < len(keys))]
    outer = {keys[:size] for keys in inner for size in range(len(keys)) if keys[:size] in expected}
    return [Fault(keys, text) for keys, text in texts.items() if keys not in outer]


def _keys(tree: Any, loc: tuple[int | str, ...], missing: bool) -> Keys:
    """Return pydantic's location without the names of union branches, which are no keys of the user's."""
    keys: list[Any] = []
    for number, part in enumerate(loc):
        inside = (isinstance(tree, Mapping) and part in tree) or (
            isinstance(tree, list | tuple) and isinstance(part, int) and part < len(tree)
        )
        if inside:
            tree = tree[part]
            keys.append(part)
        elif missing and number == len(loc) - 1:
            keys.append(part)
    return tuple(keys)


def _unknown(schema: type[BaseModel], tree: Any, keys: Keys) -> str:
    twice = [name for name in other_names(schema, tree, keys) if name in _section(tree, keys[:-1])]
    if twice:
        return f"is the same setting as {twice[0]}, which is given too; keep one."
    known = list(fields_at(schema, tree, keys[:-1]))
    elsewhere = dotted_names(schema).get(str(keys[-1]))
    if elsewhere:
        return f"is unknown; did you mean '{elsewhere}'?"
    close = nearest(str(keys[-1]), known)
    if close or not known:
        return f"is unknown{close or '.'}"
    return f"is unknown. Known here: {', '.join(known)}."


def _section(tree: Any, keys: Keys) -> Any:
    for key in keys:
        tree = tree[key]
    return tree


def _description(schema: type[BaseModel], tree: Any, keys: Keys) -> str:
    field = fields_at(schema, tree, keys[:-1]).get(str(keys[-1]))
    return f": {field.description.rstrip('.')}" if field and field.description else ""


def _expected(error: Any) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in ("literal_error", "enum"):
        return str(context["expected"])
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**context)
    known = _KINDS.get(kind.partition("_")[0])
    if known and kind.endswith(("_type", "_parsing", "_from_float", "_required", "_attributes_type", "_parsing_size")):
        return known
    return str(error["msg"]).removeprefix("Input should be ")


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
