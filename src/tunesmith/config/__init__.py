"""Strict reading of a configuration: YAML and dotted overrides into a typed model; dump() writes it back.

Nothing is guessed and nothing is ignored: an unknown key, a key given twice, a value of the wrong kind and a second
name for the same setting are all errors, and all of them are told at once, each with its dotted path, its line in
the file and what was expected. Neither torch nor transformers is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ..errors import ConfigError
from ..lookup import nearest
from .faults import explain
from .names import Chosen, Keys, dotted_names, other_names
from .text import YamlError, parse, write

__all__ = ["Chosen", "dotted_names", "dump", "read"]

M = TypeVar("M", bound=BaseModel)
Places = dict[Keys, int | str]  # where a key was written: the line in the file, or the override


def read(schema: type[M], source: Path | str | Mapping[str, Any] | None, overrides: Sequence[str] = ()) -> M:
    """Return `source` (a YAML file, a mapping, or None for nothing), changed by `overrides`, as a `schema`.

    An override is `dotted.key=value` with the value written as in YAML; it also replaces a setting that the file
    gives under another accepted name.

    Raises:
        ConfigError: no such file, not YAML, or faults in the settings (all of them, one a line).
    """
    places: Places = {}
    if source is None or isinstance(source, Mapping):
        tree, name = _copy(source or {}), "the configuration"
    else:
        tree, name = _load(Path(source), places), str(source)
    for override in overrides:
        _override(schema, tree, override, places)
    try:
        return schema.model_validate(tree)
    except ValidationError as error:
        faults = explain(schema, tree, error)
    except ConfigError as error:  # a validator that looked something up
        raise ConfigError(f"{name}: {error}") from None
    raise ConfigError(_message([(_place(fault.keys, places), fault.text) for fault in faults], name))


def dump(settings: BaseModel) -> str:
    """Return the YAML of a resolved configuration; reading it again gives the same settings."""
    return write(settings.model_dump(mode="json", serialize_as_any=True))


def _load(path: Path, places: Places) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"There is no configuration file '{path}'{_beside(path)}") from None
    except IsADirectoryError:
        raise ConfigError(f"'{path}' is a folder; give the YAML file itself.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    try:
        tree, lines = parse(text)
    except YamlError as error:
        raise ConfigError(f"{path}, line {error.line}: {error}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds no settings: a configuration is made of `key: value` lines.")
    places.update(lines)
    return tree


def _beside(path: Path) -> str:
    """Return the end of "no such file": the nearest name beside it, or which folder is missing."""
    if not path.parent.is_dir():
        return f", nor a folder '{path.parent}'."
    files = sorted(entry.name for entry in path.parent.iterdir())
    return nearest(path.name, files) or "."


def _override(schema: type[BaseModel], tree: dict[str, Any], override: str, places: Places) -> None:
    """Put one `dotted.key=value` into the tree."""
    dotted, equals, text = override.partition("=")
    keys = tuple(part.strip() for part in dotted.split("."))
    if not equals or not all(keys):
        raise ConfigError(f"'{override}' is not of the form key=value, such as training.learning_rate=1e-4.")
    try:
        value, _ = parse(text)
    except YamlError as error:
        raise ConfigError(f"override '{override}': {error} Put a text with such characters in quotes.") from None
    here: dict[Any, Any] = tree
    for depth, key in enumerate(keys, start=1):
        path = keys[:depth]
        for other in other_names(schema, tree, path):
            if other in here:  # the file uses another accepted name of the same setting
                here[key] = here.pop(other)
        if depth == len(keys):
            here[key] = value
            for known in [known for known in places if known[:depth] == path]:
                del places[known]
            places[path] = f"override '{override}'"
            return
        if here.get(key) is None:
            here[key] = {}
            places[path] = f"override '{override}'"
        if not isinstance(here[key], dict):
            raise ConfigError(f"override '{override}': {'.'.join(path)} has no settings, it is {here[key]!r}.")
        here = here[key]


def _place(keys: Keys, places: Places) -> int | str | None:
    """Return where the nearest part of a dotted path was written."""
    return next((places[keys[:size]] for size in range(len(keys), 0, -1) if keys[:size] in places), None)


def _message(faults: list[tuple[int | str | None, str]], name: str) -> str:
    """Return one sentence for one fault, else a line for each: those of the file in its order, then the overrides."""
    if len(faults) == 1:
        place, text = faults[0]
        return f"{place}: {text}" if isinstance(place, str) else f"{name}{f', line {place}' if place else ''}: {text}"
    faults = sorted(faults, key=lambda fault: fault[0] if isinstance(fault[0], int) else 10**9)
    lines = [f"line {place}: {text}" if isinstance(place, int) else f"{place}: {text}" for place, text in faults]
    return f"{len(faults)} faults in {name}:\n" + "\n".join(line.removeprefix("None: ") for line in lines)


def _copy(source: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the mapping with every mapping in it copied, so that overrides do not write into the caller's."""
    return {key: _copy(value) if isinstance(value, Mapping) else value for key, value in source.items()}
