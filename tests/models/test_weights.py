"""Published, saved and unfitting weights: what is wrong is named, and nothing is filled in at random."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

import tunesmith.models  # registers the native classes
from tunesmith.errors import ModelError
from tunesmith.models.files import read_config, stored_dtype, stored_tensors
from tunesmith.models.load import load_model
from tunesmith.models.weights import fingerprint, identity_of

NAMES = ("mha_tied", "gqa_untied", "long_dynamic", "longrope_v4", "moe")
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
IDS = torch.tensor([[1, 5, 9, 33, 7, 12, 80, 3]])


@pytest.fixture
def tied(golden_model: Callable[[str], Path], tmp_path: Path) -> Path:
    """A writable folder with a tied model."""
    return Path(shutil.copytree(golden_model("mha_tied"), tmp_path / "tied"))


@pytest.fixture
def untied(golden_model: Callable[[str], Path], tmp_path: Path) -> Path:
    """A writable folder with an untied model."""
    return Path(shutil.copytree(golden_model("gqa_untied"), tmp_path / "untied"))


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")


@torch.no_grad()
def logits(folder: Path) -> Tensor:
    return load_model(folder, dtype="float32", device="cpu")(input_ids=IDS).logits  # type: ignore[no-any-return]


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(folder, device="cpu")
    message = str(caught.value)
    assert "\n" not in message and message[-1] in ".?" and str(folder) in message
    return message


@pytest.mark.parametrize("name", NAMES)
def test_saved_folders_load_in_plain_transformers_and_here(
    name: str, golden_model: Callable[[str], Path], tmp_path: Path
) -> None:
    model = load_model(golden_model(name), device="cpu")
    model.save_pretrained(tmp_path)
    with torch.no_grad():
        expected = model(input_ids=IDS).logits
        assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(input_ids=IDS).logits, expected)
    assert torch.equal(logits(tmp_path), expected)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "minicpm" and "auto_map" not in saved
    assert set(stored_tensors(tmp_path)) == set(stored_tensors(golden_model(name)))


@pytest.mark.parametrize("name", NAMES)
def test_published_folders_load_in_plain_transformers(name: str, golden_model: Callable[[str], Path]) -> None:
    model = AutoModelForCausalLM.from_pretrained(golden_model(name))  # auto_map would ask for trust
    assert type(model) is tunesmith.models.minicpm.MiniCPMForCausalLM
    with torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, logits(golden_model(name)))


def test_dtype_follows_the_file(tied: Path) -> None:
    edit_weights(tied, lambda tensors: tensors.update({n: t.bfloat16() for n, t in tensors.items()}))
    assert stored_dtype(stored_tensors(tied)) == torch.bfloat16
    model, _ = tunesmith.models.minicpm.FAMILY.load(tied, read_config(tied), None)
    assert model.dtype == torch.bfloat16


def test_redundant_head_is_dropped(tied: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = logits(tied)
    edit_weights(tied, lambda tensors: tensors.update({HEAD: tensors[EMBEDDING].clone()}))
    model: Any = load_model(tied, device="cpu")
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert torch.equal(logits(tied), expected)
    assert not caplog.records


def test_another_head_is_kept_and_said(tied: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    expected = logits(tied)
    edit_weights(tied, lambda tensors: tensors.update({HEAD: 2 * tensors[EMBEDDING]}))
    model: Any = load_model(tied, device="cpu")
    assert not model.config.tie_word_embeddings
    torch.testing.assert_close(logits(tied), 2 * expected)
    assert "untied" in caplog.text
    model.save_pretrained(tmp_path / "again")
    torch.testing.assert_close(logits(tmp_path / "again"), 2 * expected)


def test_old_rotary_tables_are_ignored(tied: Path) -> None:
    expected = logits(tied)
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_weights(tied, lambda tensors: tensors.update({name: torch.zeros(8)}))
    assert torch.equal(logits(tied), expected)


def test_a_head_that_config_asks_for_must_be_there(untied: Path) -> None:
    edit_weights(untied, lambda tensors: tensors.pop(HEAD))
    assert "Missing tensors (1): lm_head.weight" in refusal(untied)


def test_missing_unknown_and_misshapen_tensors(tied: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors["model.layers.1.mlp.up_proj.weight"]
        tensors["model.layers.9.mlp.up_proj.weight"] = torch.zeros(2, 2)
        tensors["model.norm.weight"] = torch.zeros(63)

    edit_weights(tied, change)
    message = refusal(tied)
    assert "Missing tensors (1): model.layers.1.mlp.up_proj.weight" in message
    assert "unknown tensors (1): model.layers.9.mlp.up_proj.weight" in message
    assert "model.norm.weight is [63], config.json asks for [64]" in message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": "big"}, "hidden_size must be a whole number greater than 0, not 'big'"),
        ({"num_hidden_layers": 2.5}, "num_hidden_layers must be a whole number"),
        ({"num_attention_heads": 7}, "multiple of num_attention_heads 7"),
        ({"dim_model_base": 0}, "dim_model_base must be a number greater than 0"),
        ({"rope_scaling": {"type": "spiral", "factor": 2.0}}, "rope type 'spiral' is unknown"),
        ({"rope_scaling": {"type": "linear"}}, "factor"),
        ({"hidden_act": "swoosh"}, "swoosh"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"model_type": "minicmp"}, "did you mean 'minicpm'"),
        ({"model_type": None}, "no model_type"),
    ],
)
def test_bad_config_values(tied: Path, changes: dict[str, Any], said: str) -> None:
    edit_config(tied, **changes)
    assert said in refusal(tied)


def test_an_adapter_among_the_weights_is_not_applied_silently(tied: Path) -> None:
    (tied / "adapter_config.json").write_text('{"peft_type": "LORA", "base_model_name_or_path": "somewhere"}')
    assert "both a model" in refusal(tied)


def test_sparse_attention_is_left_out_and_said(tied: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = logits(tied)
    edit_config(tied, sparse_config={"topk": 64}, mup_denominator=32)
    assert torch.equal(logits(tied), expected)
    assert "sparse_config is ignored" in caplog.text


def test_fingerprint_sees_config_and_weights_but_not_paths(tied: Path, untied: Path, tmp_path: Path) -> None:
    first = fingerprint(tied)
    assert first == fingerprint(shutil.copytree(tied, tmp_path / "copy")) != fingerprint(untied)
    edit_config(tied, transformers_version="9.9", torch_dtype="bfloat16", auto_map={})
    assert fingerprint(tied) == first
    edit_weights(tied, lambda tensors: tensors["model.norm.weight"].mul_(1.5))
    assert fingerprint(tied) != first
    assert identity_of(tied)["tensors"] == identity_of(tmp_path / "copy")["tensors"]
