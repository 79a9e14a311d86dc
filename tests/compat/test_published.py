"""The wrapper around a loaded model, and the tokenizer that the published examples load."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from tunesmith.compat.published import AutoTokenizer, Published
from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import ConfigError, ModelError
from tunesmith.models.load import load


@pytest.fixture(scope="module")
def tiny(tiny_model_folder: Path) -> Published:
    return Published(load(tiny_model_folder, dtype=torch.float32, device="cpu"))


def test_the_rest_is_asked_of_the_model(tiny: Published) -> None:
    assert tiny.config.hidden_size == 64
    assert tiny.eval() is tiny.to("cpu") is tiny
    assert tiny.generate(torch.tensor([[1, 5]]), max_new_tokens=1, do_sample=False, pad_token_id=0).shape == (1, 3)
    assert copy.copy(tiny).model is tiny.model
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = tiny.no_such_thing


def test_loading(tiny_model_folder: Path) -> None:
    found = Published.from_pretrained(
        tiny_model_folder, dtype="float64", device_map={"": "cpu"}, trust_remote_code=True
    )
    assert type(found) is Published
    assert found.dtype == torch.float64
    with pytest.raises(ConfigError, match="Name one device"):
        Published.from_pretrained(tiny_model_folder, device_map={"a": "cpu", "b": "cuda"})
    with pytest.raises(ConfigError, match="does not know 'quantization_config'"):
        Published.from_pretrained(tiny_model_folder, quantization_config=1)


def test_the_tokenizer_has_the_ids_of_training(tiny_model_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder, use_fast=False, trust_remote_code=True)
    backend = TextTokenizer.load(tiny_model_folder).backend
    for text in ("<用户>你好<AI>", " a space in front", "two  plus\nthree"):
        assert tokenizer(text)["input_ids"] == backend.encode(text).ids
    with pytest.raises(ConfigError, match="does not know 'add_eos_token'"):
        AutoTokenizer.from_pretrained(tiny_model_folder, add_eos_token=True)
    with pytest.raises(ModelError, match="There is no folder 'nowhere'"):
        AutoTokenizer.from_pretrained("nowhere")
