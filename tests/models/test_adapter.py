"""Adapters on their base and on others, whole, damaged and misfitting."""

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

from tunesmith import locate as locate_module
from tunesmith.errors import AdapterError
from tunesmith.models.load import load, load_model
from tunesmith.models.weights import IDENTITY, write_adapter_identity

IDS = torch.tensor([[1, 5, 9, 33, 7, 12, 80, 3]])
WEIGHTS = "adapter_model.safetensors"

MakeAdapter = Callable[..., Any]


@torch.no_grad()
def logits(model: Any) -> Tensor:
    assert not model.training
    found: Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize("options", [{"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}])
def test_kinds_of_adapters(base: Path, make_adapter: MakeAdapter, tmp_path: Path, options: dict[str, Any]) -> None:
    config = json.loads((base / "config.json").read_text())
    if "modules_to_save" in options:
        model: Any = load_model(base)
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
        model.save_pretrained(base)
        config = json.loads((base / "config.json").read_text())
    assert config["model_type"] == "minicpm"
    expected = logits(make_adapter(tmp_path / "adapter", base, **options))
    assert torch.equal(logits(load(tmp_path / "adapter").model), expected)


def test_adapter_as_torch_file(base: Path, adapter: Path) -> None:
    expected = logits(load(adapter).model)
    torch.save(load_file(adapter / WEIGHTS), adapter / "adapter_model.bin")
    (adapter / WEIGHTS).unlink()
    assert torch.equal(logits(load(adapter).model), expected)
    (adapter / "adapter_model.bin").write_bytes(b"no tensors")
    with pytest.raises(AdapterError, match="plain tensors"):
        load(adapter)


def test_bundled_base_is_named_not_located(
    base: Path, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate_module, "BUNDLED", {"nano": base})
    make_adapter(tmp_path / "adapter", base, identity=False)
    write_adapter_identity(tmp_path / "adapter", base, "nano")
    identity = json.loads((tmp_path / "adapter" / IDENTITY).read_text())
    assert identity["base"] == "nano" and identity["family"] == "minicpm" and len(identity["base_fingerprint"]) == 64
    assert load(tmp_path / "adapter").family.model_type == "minicpm"


def test_another_base_is_refused_with_the_difference(base: Path, adapter: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(base, tmp_path / "other"))
    assert load(other, adapter=adapter) is not None  # the same model in another place
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] *= 1.01
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AdapterError, match="the weights are others"):
        load(other, adapter=adapter)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "scale_depth": 1.0}))
    with pytest.raises(AdapterError, match=r"scale_depth was 1\.4 and is 1\.0"):
        load(other, adapter=adapter)


def test_missing_base_says_how_to_give_one(base: Path, adapter: Path, tmp_path: Path) -> None:
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(AdapterError, match=r"tunesmith.load\(BASE, adapter="):
        load(adapter)
    assert load(moved, adapter=adapter) is not None
    (adapter / IDENTITY).unlink()
    edit_json(adapter / "adapter_config.json", base_model_name_or_path=None)
    with pytest.raises(AdapterError, match="does not say which base"):
        load(adapter)


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_tensors(folder: Path, change: Any) -> None:
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)


FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop(FIRST), f"{FIRST} is missing"),
        (lambda tensors: tensors.update({FIRST.replace("q_proj", "k_proj"): torch.zeros(4, 64)}), "no place"),
        (lambda tensors: tensors.update({FIRST: torch.zeros(4, 32)}), "does not fit"),
        (lambda tensors: tensors.update({FIRST: torch.zeros(8, 64)}), "does not fit"),
        (lambda tensors: tensors.clear(), "is missing"),
    ],
)
def test_adapters_that_do_not_fit(adapter: Path, change: Any, said: str) -> None:
    edit_tensors(adapter, change)
    with pytest.raises(AdapterError, match=said) as caught:
        load(adapter)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"r": 8}, "does not fit"),
        ({"target_modules": ["q_proj"]}, "no place"),
        ({"target_modules": ["nothing"]}, "does not fit"),
        ({"peft_type": "MAGIC"}, "does not fit"),
        ({"init_lora_weights": "corda"}, "needs more than its files"),
    ],
)
def test_adapter_config_that_does_not_fit(adapter: Path, changes: dict[str, Any], said: str) -> None:
    edit_json(adapter / "adapter_config.json", **changes)
    with pytest.raises(AdapterError, match=said):
        load(adapter)


def test_damaged_adapter_files(adapter: Path) -> None:
    whole = (adapter / WEIGHTS).read_bytes()
    for content, said in (
        (whole[: len(whole) // 2], "cut or damaged"),
        (b"", "cut or damaged"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ):
        (adapter / WEIGHTS).write_bytes(content)
        with pytest.raises(AdapterError, match=said):
            load(adapter)
    (adapter / WEIGHTS).unlink()
    with pytest.raises(AdapterError, match="has no weights"):
        load(adapter)
    (adapter / "adapter_config.json").write_text("{")
    with pytest.raises(AdapterError, match="not valid JSON"):
        load(adapter)
