"""YAML text <-> plain values, strictly: no key twice, no surprises of YAML 1.1, and the line of every key."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .names import Keys

_INT = re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$")
_DIGITS = r"[0-9][0-9_]*"
_FLOAT = re.compile(
    rf"^[-+]?(?:{_DIGITS}\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.{_DIGITS}(?:[eE][-+]?[0-9]+)?|{_DIGITS}[eE][-+]?[0-9]+)$"
    r"|^[-+]?\.(?:inf|nan)$"
)
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")


class YamlError(Exception):
    """A text that is not YAML, or that gives a key twice; `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        super().__init__(message)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the plain values of YAML 1.2: `1e-4` is a number; `no`, `010`, `1:30` and dates are texts."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as PyYAML declares it


class _Dumper(yaml.SafeDumper):
    """SafeDumper that also quotes the texts which only the loader above reads as numbers."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", _NULL, ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def parse(text: str) -> tuple[Any, dict[Keys, int]]:
    """Return the value that a YAML text stands for, and the line of each key in it (None for an empty text).

    Raises:
        YamlError: not YAML, more than one document, a key given twice, or a text that contains itself.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(line, f"this is not text: it holds the control character {error.character:#04x}.") from None
    try:
        node = loader.get_single_node()
        lines: dict[Keys, int] = {}
        _walk(node, (), lines, ())
        return (None if node is None else loader.construct_document(node)), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(mark.line + 1 if mark else 1, f"this is not valid YAML: {what}.{_advice(what)}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise YamlError(1, f"this is not valid YAML: {error}.") from None
    finally:
        loader.dispose()


def write(value: Any) -> str:
    """Return the YAML text of plain values, keys in their order."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def _advice(what: str) -> str:
    if "'\\t'" in what:
        return " Indent with spaces, not with tabs."
    if "mapping values are not allowed" in what:
        return " Put a text that holds a colon in quotes, and check the indentation."
    return ""


def _walk(node: yaml.Node | None, keys: Keys, lines: dict[Keys, int], above: tuple[int, ...]) -> None:
    """Note the line of every key below `node`."""
    if id(node) in above:
        raise YamlError(node.start_mark.line + 1 if node else 1, "this part contains itself (an anchor inside it).")
    above = (*above, id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            place = (*keys, number)
            lines[place] = item.start_mark.line + 1
            _walk(item, place, lines, above)
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, item in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise YamlError(line, "a key must be a word, not a list or a section.")
        if key.value in seen:
            raise YamlError(line, f"'{key.value}' is given twice, first in line {seen[key.value]}; keep one.")
        seen[key.value] = line
        if key.tag.endswith(":merge"):  # `<<: *other`: its keys stand here
            for part in item.value if isinstance(item, yaml.SequenceNode) else [item]:
                _walk(part, keys, lines, above)
        else:
            place = (*keys, key.value)
            lines[place] = line
            _walk(item, place, lines, above)
