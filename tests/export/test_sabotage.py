"""An export with one tensor changed fails its check: every target, every native family, one Llama."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from tunesmith import lookup
from tunesmith.errors import RoundTripError
from tunesmith.export.check import TARGETS
from tunesmith.export.run import export
from tunesmith.export.source import Settings

CASES = [
    *(("lora", target, "1.mlp.up_proj") for target in ("merged", "granite", "llama", "mlx")),
    ("lora", "adapter", "0.mlp.up_proj.lora_B"),
    ("lora", "gguf", "blk.1.ffn_up"),
    ("lora", "ollama", "blk.1.ffn_up"),
    ("vision", "merged", "vpm.blocks.0.mlp.fc1.weight"),
    ("vision", "merged", "1.mlp.up_proj"),
    ("vision", "adapter", "resampler.kv_proj"),
    ("transnormer", "merged", "1.channel_mixer.l1"),
    ("transnormer", "adapter", "lora_B"),
    ("llama", "merged", "1.mlp.up_proj"),
    ("llama", "llama", "1.mlp.up_proj"),
    ("llama", "adapter", "lora_B"),
    ("llama", "gguf", "blk.1.ffn_up"),
]


def spoil(folder: Path, part: str) -> None:
    """Change the first row of the one tensor whose name has that part, in whichever file of the folder holds it."""
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        if name := next((name for name in tensors if part in name), None):
            tensors[name][0] = tensors[name][0] * 1.5 + 0.05
            save_file(tensors, file, metadata={"format": "pt"})
            return
    library = pytest.importorskip("gguf")
    reader = library.GGUFReader(str(folder / "model.gguf"), "r+")
    tensor = next(tensor for tensor in reader.tensors if part in tensor.name)
    tensor.data[0] = tensor.data[0] * 1.5 + 0.05
    tensor.data.flush()


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("kind", "target", "part"), CASES)
def test_one_changed_tensor_is_seen(
    kind: str,
    target: str,
    part: str,
    finished: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = lookup.find(TARGETS, target)
    write = module.write

    def careless(out: Any, folder: Path) -> None:
        write(out, folder)
        spoil(folder, part)

    monkeypatch.setattr(module, "write", careless)
    settings = Settings(dtype="float32") if "dtype" in module.OPTIONS else Settings()
    if "quant" in module.OPTIONS:
        settings = Settings(quant="f32")
    with pytest.raises(RoundTripError, match="is not what the run computes .*the logits of row"):
        export(finished(kind), target, tmp_path / "out", settings)
    assert os.listdir(tmp_path) == []
