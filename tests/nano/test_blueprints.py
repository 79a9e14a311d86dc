"""The bundled text models' blueprints: what is shipped is what they say, in the published layouts."""

from __future__ import annotations

import json

import pytest

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.locate import BUNDLED
from tunesmith.models.family import family_of
from tunesmith.nano.blueprints import BLUEPRINTS, GENERATION


@pytest.mark.parametrize("family", BLUEPRINTS)
def test_what_is_shipped_is_the_blueprint_s(family: str) -> None:
    blueprint = BLUEPRINTS[family]
    assert blueprint.name == f"nano-{family}" and BUNDLED[blueprint.name] == blueprint.folder
    config = json.loads((blueprint.folder / "config.json").read_text(encoding="utf-8"))
    assert config == blueprint.config
    assert json.loads((blueprint.folder / "generation_config.json").read_text(encoding="utf-8")) == GENERATION
    weights = {"config.json", "generation_config.json", "model.safetensors"}
    assert {path.name for path in blueprint.folder.iterdir()} == {*weights, *blueprint.files}
    assert TextTokenizer.load(blueprint.folder).backend.get_vocab_size() == config["vocab_size"]
    assert family_of(config, blueprint.folder).model_type == family


def test_the_published_layouts() -> None:
    minicpm, transnormer = (BLUEPRINTS[family].config for family in ("minicpm", "transnormer"))
    assert minicpm["architectures"] == ["MiniCPMForCausalLM"] and minicpm["model_type"] == "minicpm"
    assert (minicpm["scale_emb"], minicpm["scale_depth"]) == (12, 1.4)
    assert transnormer["architectures"] == ["TransnormerForCausalLM"] and "model_type" not in transnormer
    assert transnormer["linear_use_lrpe_list"] == [1] + [0] * (transnormer["decoder_layers"] - 1)
    assert transnormer["decoder_embed_dim"] == transnormer["hidden_dim"]


def test_the_width_is_the_rule_of_minicpm() -> None:
    config = BLUEPRINTS["minicpm"].config
    assert BLUEPRINTS["minicpm"].width == config["hidden_size"] / config["dim_model_base"]
    assert BLUEPRINTS["minicpm"].std == config["initializer_range"]
    assert BLUEPRINTS["transnormer"].std == BLUEPRINTS["transnormer"].config["init_std"]
