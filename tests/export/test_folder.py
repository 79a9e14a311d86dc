"""A written folder: shards and their index, dtypes, the tokenizer as the run uses it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.errors import ModelError
from tunesmith.export.folder import Weights, plain_config, write_tokenizer, write_weights
from tunesmith.export.source import Settings, Source, Written
from tunesmith.models.files import stored_tensors
from tunesmith.models.load import load, text_tokenizer

Finished = Callable[[str], Path]


def test_shards_hold_every_tensor_once(tmp_path: Path) -> None:
    tensors = {f"t{number}": torch.randn(10, 10) for number in range(5)}
    told: list[int] = []
    write_weights(tmp_path, Weights(tensors, torch.bfloat16, {"t1": 3.0}), 450, told.append)
    assert sorted(file.name for file in tmp_path.glob("*.safetensors")) == [
        f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)
    ]
    assert told == [400, 400, 200] and {one.dtype for one in stored_tensors(tmp_path).values()} == {torch.bfloat16}
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text(encoding="utf-8"))
    assert index["metadata"]["total_size"] == 1000 and list(index["weight_map"]) == list(tensors)
    first = load_file(tmp_path / index["weight_map"]["t1"])["t1"]
    assert torch.equal(first, (tensors["t1"] * 3).bfloat16())


def test_a_tensor_larger_than_a_shard_is_one_file(tmp_path: Path) -> None:
    write_weights(tmp_path, Weights({"a": torch.ones(100), "b": torch.ones(1)}, torch.float32), 8, lambda size: None)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), torch.float32), (1e6, torch.float16)])
def test_numbers_that_are_none_are_refused(value: float, dtype: torch.dtype) -> None:
    with pytest.raises(ModelError, match="The weight w holds infinite numbers or NaN"):
        Weights({"w": torch.tensor([1.0, value])}, dtype)["w"]


@pytest.mark.parametrize("kind", ["lora", "transnormer", "vision"])
def test_the_tokenizer_is_the_one_of_the_run(kind: str, finished: Finished, tmp_path: Path) -> None:
    loaded = load(finished(kind), device="cpu", chat_template=None if kind == "vision" else "chatml")
    before = text_tokenizer(loaded.tokenizer)
    source = Source.of(finished(kind), Settings())
    write_tokenizer(Written(source, loaded, torch.float32, True, lambda size: None), tmp_path)
    after = TextTokenizer.load(tmp_path)
    assert after.special == before.special and after.add_bos == before.add_bos
    assert after.chat_template == before.chat_template
    text = "<用户> two  spaces, 你好\n</s><image>\U0001f600<AI>"
    assert after.encode(text) == before.encode(text)
    assert after.plain().encode(text) == before.plain().encode(text)
    settings = json.loads((tmp_path / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["eos_token_id"] == before.eos_id


def test_the_config_names_no_code() -> None:
    model = load("nano-transnormer", device="cpu").model
    config = plain_config({"auto_map": {"AutoModel": "x.y"}, "vocab_size": 5, "_name_or_path": "/somewhere"}, model)
    assert config == {
        "vocab_size": 5,
        "architectures": ["TransnormerForCausalLM"],
        "model_type": "transnormer",
        "tie_word_embeddings": True,
    }
