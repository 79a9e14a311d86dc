"""pydantic's errors in words: one line for each setting, with what was expected."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tunesmith.config.faults import explain


class Section(BaseModel):
    """A setting of every kind."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(8, ge=1, validation_alias=AliasChoices("count", "n"))
    rate: float = Field(1e-4, gt=0, lt=1)
    limit: int = Field(1, le=9)
    auto: Literal["auto"] | float = "auto"
    choice: Literal["cosine", "linear"] = "cosine"
    switch: bool = False
    files: str | list[str] = "a"
    several: list[str] = Field(["a"], min_length=1)
    text: str | None = None
    table: dict[str, int] = {}


class Whole(BaseModel):
    """A section, a needed setting, a rule."""

    model_config = ConfigDict(extra="forbid")

    part: Section = Section()
    needed: str = Field("x", description="A thing that is needed.")

    @model_validator(mode="after")
    def _rule(self) -> Whole:
        if self.part.text == "bad":
            raise ValueError("bad does not go with good")
        return self


class Needy(BaseModel):
    """Only what must be there."""

    needed: str = Field(description="A thing that is needed.")
    plain: int


def told(tree: Any, schema: type[BaseModel] = Whole) -> list[str]:
    """Return the faults of a tree."""
    with pytest.raises(ValidationError) as caught:
        schema.model_validate(tree)
    return [fault.text for fault in explain(schema, tree, caught.value)]


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("count", "fast", '"fast", but must be a whole number.'),
        ("count", 1.5, "1.5, but must be a whole number."),
        ("count", 0, "0, but must be at least 1."),
        ("n", 0, "0, but must be at least 1."),
        ("rate", 0, "0, but must be more than 0."),
        ("rate", 1, "1, but must be less than 1."),
        ("rate", [1], "[1], but must be a number."),
        ("limit", 10, "10, but must be at most 9."),
        ("switch", "perhaps", '"perhaps", but must be true or false.'),
        ("auto", "x", "\"x\", but must be 'auto' or a number."),
        ("choice", "cosin", "\"cosin\", but must be 'cosine' or 'linear'; did you mean 'cosine'?"),
        ("choice", 3, "3, but must be 'cosine' or 'linear'."),
        ("files", 3, "3, but must be a text or a list."),
        ("several", "a", '"a", but must be a list.'),
        ("several", [], "[], but must be of length 1 or more."),
        ("text", {"3": 4}, '{"3": 4}, but must be a text.'),
        ("table", 3, "3, but must be a section of `key: value` lines."),
        ("text", list(range(99)), f"[{', '.join(map(str, range(21)))}..."[:57] + "..., but must be a text."),
    ],
)
def test_a_wrong_value_is_told_with_what_was_expected(key: str, value: Any, wanted: str) -> None:
    assert told({"part": {key: value}}) == [f"part.{key} is {wanted}"]


def test_a_wrong_item_is_told_and_not_the_whole_list() -> None:
    assert told({"part": {"files": ["a", 1]}}) == ["part.files.1 is 1, but must be a text."]
    assert told({"part": {"table": {"a": "x"}}}) == ['part.table.a is "x", but must be a whole number.']


def test_unknown_missing_and_doubled_settings() -> None:
    assert told({"part": 3}) == ["part is 3, but must be a section of `key: value` lines."]
    assert told({"part": {"contu": 1}}) == ["part.contu is unknown; did you mean 'count'?"]
    assert told({"count": 1}) == ["count is unknown; did you mean 'part.count'?"]
    assert told({"zzz": 1}) == ["zzz is unknown. Known here: part, needed."]
    assert told({"part": {"count": 1, "n": 2}}) == [
        "part.n is the same setting as count, which is given too; keep one."
    ]
    assert told({}, Needy) == ["needed is missing: A thing that is needed.", "plain is missing."]


def test_a_rule_between_settings_speaks_for_itself() -> None:
    assert told({"part": {"text": "bad"}}) == ["bad does not go with good."]
