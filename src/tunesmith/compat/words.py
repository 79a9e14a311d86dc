"""The words of a command line -> values, by the rules of Hugging Face's argument parser, which the published scripts use.

`--name value`, `--name=value` and `--na-me value`; a truth value may stand alone (`--bf16`) or be spelled out
(`--bf16 false`); `--no_name` is false; a list goes on to the next flag. A flag given twice: the last one counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import ConfigError
from ..lookup import nearest

TRUE, FALSE = {"yes", "true", "t", "y", "1"}, {"no", "false", "f", "n", "0"}
_NUMBER = re.compile(r"-\.?\d")
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class Flag(NamedTuple):
    """What a flag is: its `kind` (bool, int, float, text, list), and what becomes of it.

    `key`: it is our setting of this dotted name. `idle`: it has no effect here, for this reason. `refused`: it is not
    supported where it is more than "off"; what to do instead. None of them: `translate` knows what it means. `only`:
    the one script that has it.
    """

    kind: str
    key: str = ""
    idle: str = ""
    refused: str = ""
    only: str = ""


class Given(NamedTuple):
    """The values of a command line by their flags' names, without dashes, and what should be said about it."""

    values: dict[str, Any]
    notes: list[str]


def read_words(words: Sequence[str], flags: Mapping[str, Flag]) -> Given:
    """Return what the words of a command line give.

    Raises:
        ConfigError: an unknown flag (with the nearest one), a missing value, a value of another kind, a stray word.
    """
    given = Given({}, [])
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or word == "--":
            raise ConfigError(_stray(word))
        name, equals, text = word[2:].partition("=")
        name, flag, negated = _find(name.replace("-", "_"), flags)
        texts = [text] if equals else _values(rest, flag, negated)
        if name in given.values:
            given.notes.append(f"--{name} is given twice; the last one counts, as in the published script.")
        given.values[name] = not negated and _value(name, flag, texts)
    return given


def _find(name: str, flags: Mapping[str, Flag]) -> tuple[str, Flag, bool]:
    """Return the name and the flag that are meant, and whether it is switched off by `--no_...`."""
    if name in flags:
        return name, flags[name], False
    positive = name.removeprefix("no_")
    if positive != name and positive in flags and flags[positive].kind == "bool":
        return positive, flags[positive], True
    close = nearest(name, list(flags)).replace("'", "'--", 1)
    raise ConfigError(
        f"There is no flag '--{name}'{close or '.'} Known are the flags of the published scripts and of Hugging Face's "
        "TrainingArguments; every setting of tunesmith can be given to `tunesmith train` instead (--print-config "
        "writes a file for it)."
    )


def _values(rest: list[str], flag: Flag, negated: bool) -> list[str]:
    """Take the words that belong to a flag."""
    most = 0 if negated else len(rest) if flag.kind == "list" else 1
    if flag.kind == "bool" and rest and rest[0].lower() not in TRUE | FALSE:
        most = 0  # `--bf16` alone
    taken = 0
    while taken < min(most, len(rest)) and (not rest[taken].startswith("-") or _NUMBER.match(rest[taken])):
        taken += 1
    texts, rest[:taken] = rest[:taken], []
    return texts


def _value(name: str, flag: Flag, texts: list[str]) -> Any:
    if not texts:
        if flag.kind == "bool":
            return True
        raise ConfigError(
            f"--{name}: the value is missing. If it was to come from a shell variable, that variable is empty."
        )
    if flag.kind == "list":
        return texts
    text = texts[0]
    if flag.kind == "text":
        return text
    try:
        if flag.kind == "bool":
            return {**dict.fromkeys(TRUE, True), **dict.fromkeys(FALSE, False)}[text.lower()]
        number = float(text)
        if flag.kind == "int" and number != int(number):
            raise ConfigError(f"--{name} is {text}: shares of a run are not supported; give a whole number of steps.")
    except (KeyError, ValueError, OverflowError):
        raise ConfigError(f"--{name} is '{text}', but must be {_KINDS[flag.kind]}.") from None
    return int(number) if flag.kind == "int" else number


def _stray(word: str) -> str:
    text = f"'{word}' belongs to no flag: each flag takes one value."
    if not word.strip():
        text = "There is a word of nothing but spaces. Does a line of the command end in '\\ ', with a space behind it?"
    return f"{text} A value with spaces needs quotes."
