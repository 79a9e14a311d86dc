"""An adapter's folder is read without its base: pairs with their scales, and every way in which it can be none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tunesmith.adapters.folder import Adapter
from tunesmith.errors import AdapterError, ModelError
from tunesmith.models.load import load

Make = Callable[..., Path]


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_pairs_are_what_peft_adds(make: Make, tiny_model_folder: Path) -> None:
    """The dW of each layer is the one that PEFT merges: rank and alpha patterns, rsLoRA, an embedding."""
    folder = make("a", targets=["q_proj", "down_proj", "embed_tokens"], rslora=True)
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**config, "alpha_pattern": {"layers.1.*q_proj": 7}}), "utf-8")
    adapter = Adapter.of(folder)
    model: Any = load(tiny_model_folder, adapter=folder, device="cpu").model
    assert len(adapter.pairs) == 5
    for layer, pair in adapter.pairs.items():
        module = model.get_submodule(f"base_model.model.{layer}")
        wanted = module.get_delta_weight("default")
        ours = pair.scale * (pair.B @ pair.A)
        assert torch.allclose(ours.T if pair.embedding else ours, wanted, atol=1e-6), layer
        assert pair.shape == tuple(wanted.shape) and pair.rank == 4
    assert adapter.pairs["model.layers.1.self_attn.q_proj"].scale == 7 / math.sqrt(4)
    assert adapter.pairs["model.layers.0.self_attn.q_proj"].scale == 32 / math.sqrt(4)


def test_a_run_stands_for_its_adapter(make: Make, run_with: Callable[..., Path]) -> None:
    adapter = Adapter.of(run_with("run", make("a"), state="finished"))
    assert adapter.folder.name == "adapter" and adapter.status == {"state": "finished"}
    adapter.check_sound()
    with pytest.raises(AdapterError, match="is marked as failed: no room. Nothing is made of it"):
        Adapter.of(run_with("bad", make("b"), state="failed", reason="no room.")).check_sound()


def test_what_is_no_adapter(make: Make, run_with: Callable[..., Path], tiny_model_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="holds a whole model, not an adapter"):
        Adapter.of(tiny_model_folder)
    with pytest.raises(ModelError, match="has no result yet; its state is 'interrupted'"):
        Adapter.of(run_with("run", None, state="interrupted"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(AdapterError, match="is not an adapter folder: it has no adapter_config.json"):
        Adapter.of(tmp_path / "empty")
    with pytest.raises(ModelError, match="There is no folder"):
        Adapter.of(tmp_path / "nowhere")
    file = make("a") / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": "IA3"}), "utf-8")
    with pytest.raises(AdapterError, match="of the kind IA3; only LoRA"):
        Adapter.of(file.parent)
    file.write_text("{", "utf-8")
    with pytest.raises(AdapterError, match="is not valid JSON"):
        Adapter.of(file.parent)


def test_damaged_weights(make: Make) -> None:
    folder = make("a")
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    name = next(name for name in tensors if "lora_B" in name)
    save_file({key: tensor for key, tensor in tensors.items() if key != name}, file)
    with pytest.raises(AdapterError, match="has A or B alone"):
        _ = Adapter.of(folder).pairs
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(AdapterError, match="cut or damaged"):
        _ = Adapter.of(folder).pairs
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(AdapterError, match="Git LFS pointer"):
        _ = Adapter.of(folder).pairs
    file.unlink()
    with pytest.raises(AdapterError, match="has no weights"):
        _ = Adapter.of(folder).pairs
