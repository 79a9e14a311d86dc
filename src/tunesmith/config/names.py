"""Which names a schema knows at a dotted path: fields, their other accepted names, and sections chosen by a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import AliasChoices, AliasPath, BaseModel
from pydantic.fields import FieldInfo

from .. import lookup
from ..errors import ConfigError

Keys = tuple[Any, ...]
"""The way to a setting: its keys from the outside in; list positions are numbers."""


@dataclass(frozen=True)
class Chosen:
    """A section whose schema is chosen by one of its keys: `package.<value of key>.Config`.

    Used as a pydantic validator: `Annotated[Any, BeforeValidator(Chosen("tunesmith.tuning", "method", "lora"))]`.
    The value of the key alone (`tuning: lora`) stands for a section with nothing else in it.
    """

    package: str
    key: str
    default: str

    def schema(self, section: Mapping[str, Any]) -> type[BaseModel]:
        """Return the schema of a section.

        Raises:
            ConfigError: the package has nothing of that name.
        """
        name = str(section.get(self.key, self.default))
        schema: type[BaseModel] = lookup.find(self.package, name, self.key).Config
        return schema

    def section(self, value: Any) -> dict[str, Any] | None:
        """Return a section as a mapping, or None if it is something else."""
        if value is None or isinstance(value, str):
            return {self.key: value or self.default}
        return {self.key: self.default, **value} if isinstance(value, Mapping) else None

    def __call__(self, value: Any) -> Any:
        """Validate a section by its own schema; pydantic puts its faults under the section's path."""
        section = self.section(value)
        if section is None:
            if isinstance(value, BaseModel):
                return value
            raise ValueError(f"must be a section of `key: value` lines, with `{self.key}` among them")
        try:
            schema = self.schema(section)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return schema.model_validate(section)


def fields_at(schema: type[BaseModel], tree: Any, keys: Keys) -> dict[str, FieldInfo]:
    """Return the fields that a section at `keys` may have; {} where the schema does not name them."""
    schemas = [schema]
    for key in keys:
        inner = tree.get(key) if isinstance(tree, Mapping) else None
        fields = [field for one in schemas for name, field in one.model_fields.items() if key in names_of(name, field)]
        if not fields and isinstance(key, int):
            continue  # an item of a list: the schemas are those of the list
        schemas = [found for field in fields for found in _schemas(field, inner)]
        tree = inner
    return {name: field for one in schemas for name, field in one.model_fields.items()}


def names_of(name: str, field: FieldInfo) -> list[str]:
    """Return all names under which a field may be given, its own first."""
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or field.alias]
    others = [choice.path[0] if isinstance(choice, AliasPath) else choice for choice in choices]
    return list(dict.fromkeys([name, *(other for other in others if isinstance(other, str))]))


def dotted_names(schema: type[BaseModel], above: str = "") -> dict[str, str]:
    """Return for every name of every setting, its aliases included, the dotted path at which it belongs."""
    found: dict[str, str] = {}
    for name, field in schema.model_fields.items():
        for section in _models(field.annotation):
            found = {**dotted_names(section, f"{above}{name}."), **found}
        found |= {other: f"{above}{other}" for other in names_of(name, field)}
    return found


def other_names(schema: type[BaseModel], tree: Any, keys: Keys) -> list[str]:
    """Return the other accepted names of the setting at `keys`."""
    for name, field in fields_at(schema, tree, keys[:-1]).items():
        names = names_of(name, field)
        if keys[-1] in names:
            return [other for other in names if other != keys[-1]]
    return []


def _schemas(field: FieldInfo, section: Any) -> Iterator[type[BaseModel]]:
    for metadata in field.metadata:
        chosen = getattr(metadata, "func", None)
        if isinstance(chosen, Chosen):
            with suppress(ConfigError):  # an unknown choice: validation tells it
                yield chosen.schema(chosen.section(section) or {})
            return
    yield from _models(field.annotation)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
