"""Which names a schema knows at a dotted path."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError

from tunesmith.config.names import Chosen, dotted_names, fields_at, names_of, other_names

TUNING = Chosen("tunesmith.tuning", "method", "lora")


class Item(BaseModel):
    """One of a list."""

    name: str = ""


class Part(BaseModel):
    """A section with an alias and a list of sections."""

    size: int = Field(1, validation_alias=AliasChoices("size", "big_size"))
    items: list[Item] = []


class Whole(BaseModel):
    """Sections, optional and chosen."""

    model: str = Field("m", alias="model_name")
    part: Part | None = None
    tuning: Annotated[Any, BeforeValidator(TUNING)] = None


def test_all_names_of_a_field_are_known() -> None:
    assert names_of("size", Part.model_fields["size"]) == ["size", "big_size"]
    assert names_of("model", Whole.model_fields["model"]) == ["model", "model_name"]
    assert names_of("part", Whole.model_fields["part"]) == ["part"]


def test_fields_are_found_through_unions_lists_and_aliases() -> None:
    tree = {"part": {"items": [{"nme": 1}]}}
    assert list(fields_at(Whole, tree, ())) == ["model", "part", "tuning"]
    assert list(fields_at(Whole, tree, ("part",))) == ["size", "items"]
    assert list(fields_at(Whole, tree, ("part", "items", 0))) == ["name"]
    assert fields_at(Whole, tree, ("model",)) == {}
    assert fields_at(Whole, tree, ("nothing", "at", "all")) == {}


def test_the_fields_of_a_chosen_section_are_those_of_its_choice() -> None:
    assert "rank" in fields_at(Whole, {"tuning": {}}, ("tuning",))
    assert "rank" not in fields_at(Whole, {"tuning": {"method": "full"}}, ("tuning",))
    assert fields_at(Whole, {"tuning": {"method": "lroa"}}, ("tuning",)) == {}


def test_other_names_and_dotted_names() -> None:
    assert other_names(Whole, {}, ("part", "size")) == ["big_size"]
    assert other_names(Whole, {}, ("part", "big_size")) == ["size"]
    assert other_names(Whole, {}, ("part", "unknown")) == []
    names = dotted_names(Whole)
    assert names["big_size"] == "part.big_size"
    assert names["tuning"] == "tuning"


def test_a_chosen_section_may_be_its_choice_alone_or_nothing() -> None:
    assert Whole().tuning is None
    assert Whole.model_validate({"tuning": None}).tuning.method == "lora"
    assert Whole.model_validate({"tuning": "full"}).tuning.method == "full"
    settings = Whole.model_validate({"tuning": {"rank": 3}})
    assert settings.tuning.rank == 3
    assert Whole.model_validate({"tuning": settings.tuning}).tuning is settings.tuning


@pytest.mark.parametrize("value", [3, ["lora"], {"method": "lroa"}, {"rank": "x"}])
def test_a_chosen_section_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError):
        Whole.model_validate({"tuning": value})
