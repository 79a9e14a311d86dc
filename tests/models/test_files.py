"""The files of a model folder, whole, cut, damaged and hostile."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunesmith.errors import ModelError
from tunesmith.models.files import read_config, read_tensor, stored_dtype, stored_tensors, weight_files
from tunesmith.models.load import load_model

IDS = torch.tensor([[1, 5, 9, 33, 7, 12, 80, 3]])


@pytest.fixture
def tied(golden_model: Callable[[str], Path], tmp_path: Path) -> Path:
    """A writable folder with a tied model."""
    return Path(shutil.copytree(golden_model("mha_tied"), tmp_path / "tied"))


@torch.no_grad()
def logits(folder: Path) -> Tensor:
    return load_model(folder, dtype="float32", device="cpu")(input_ids=IDS).logits


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(folder, device="cpu")
    message = str(caught.value)
    assert "\n" not in message and message[-1] in ".?" and str(folder) in message
    return message


def shard(folder: Path, kind: str) -> None:
    """Split the weights over two files with an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    stem, ending = ("model", "safetensors") if kind == "safetensors" else ("pytorch_model", "bin")
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"{stem}-{number:05}-of-00002.{ending}"
        weight_map |= dict.fromkeys(part, file)
        piece = {name: tensors[name] for name in part}
        save_file(piece, folder / file) if kind == "safetensors" else torch.save(piece, folder / file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (folder / f"{stem}.{ending}.index.json").write_text(json.dumps(index))


def to_torch_file(folder: Path, **options: Any) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin", **options)
    (folder / "model.safetensors").unlink()


class Bomb:
    """Would make a file when unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("change", ["shards", "torch", "torch shards", "old torch"])
def test_every_layout_gives_the_same_model(tied: Path, change: str) -> None:
    expected = logits(tied)
    if change == "torch":
        to_torch_file(tied)
    elif change == "old torch":
        to_torch_file(tied, _use_new_zipfile_serialization=False)
    else:
        shard(tied, "safetensors" if change == "shards" else "torch")
    assert torch.equal(logits(tied), expected)


@pytest.mark.parametrize("content", ["{", "[1]", "\x00\xff", ""])
def test_config_that_is_not_json(tied: Path, content: str) -> None:
    (tied / "config.json").write_bytes(content.encode("latin-1"))
    assert "config.json" in refusal(tied)


@pytest.mark.parametrize("keep", [0, 4, 200, 200_000])
def test_cut_safetensors(tied: Path, keep: int) -> None:
    whole = (tied / "model.safetensors").read_bytes()
    (tied / "model.safetensors").write_bytes(whole[:keep])
    assert "cut or damaged" in refusal(tied)


@pytest.mark.parametrize("keep", [0, 4, 200, 200_000])
def test_cut_torch_file(tied: Path, keep: int) -> None:
    to_torch_file(tied)
    whole = (tied / "pytorch_model.bin").read_bytes()
    (tied / "pytorch_model.bin").write_bytes(whole[:keep])
    assert "pytorch_model.bin" in refusal(tied)


def test_git_lfs_pointer(tied: Path) -> None:
    (tied / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 7\n")
    assert "Git LFS pointer" in refusal(tied)


def test_pickles_that_run_code_are_refused(tied: Path, tmp_path: Path) -> None:
    (tied / "model.safetensors").unlink()
    mark = tmp_path / "ran"
    torch.save({"model.norm.weight": Bomb(mark)}, tied / "pytorch_model.bin")
    assert "refused" in refusal(tied)
    (tied / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    assert "refused" in refusal(tied)
    assert not mark.exists()


def test_torch_file_without_names(tied: Path) -> None:
    (tied / "model.safetensors").unlink()
    torch.save([torch.zeros(2)], tied / "pytorch_model.bin")
    assert "mapping of names to tensors" in refusal(tied)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "..", 7])
def test_shards_outside_the_folder(tied: Path, name: Any) -> None:
    shard(tied, "safetensors")
    (tied / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    assert "points outside its folder" in refusal(tied)


def test_missing_shard_and_bad_index(tied: Path) -> None:
    shard(tied, "safetensors")
    (tied / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors is missing" in refusal(tied)
    (tied / "model.safetensors.index.json").write_text("{}")
    assert "no weight_map" in refusal(tied)


def test_no_weights_no_config_no_folder(tied: Path, tmp_path: Path) -> None:
    (tied / "model.safetensors").unlink()
    assert "holds no weights" in refusal(tied)
    (tied / "config.json").unlink()
    assert "neither a model" in refusal(tied)
    with pytest.raises(ModelError, match="no config.json"):
        read_config(tied)
    with pytest.raises(ModelError, match="No model folder"):
        read_config(tmp_path / "nowhere")


def test_stored_tensors_are_described_without_reading_them(tied: Path) -> None:
    stored = stored_tensors(tied)
    assert stored["model.norm.weight"] == ((64,), torch.float32)
    assert [file.name for file in weight_files(tied)] == ["model.safetensors"]
    assert read_tensor(tied, "nothing") is None
    tensors = {"a": torch.zeros(9).bfloat16(), "b": torch.zeros(5), "c": torch.zeros(99, dtype=torch.int8)}
    save_file(tensors, tied / "model.safetensors")
    assert stored_dtype(stored_tensors(tied)) == torch.bfloat16
    assert stored_dtype({}) == torch.float32
    (tied / "model.safetensors").unlink()
    torch.save(tensors, tied / "pytorch_model.bin")
    assert stored_dtype(stored_tensors(tied)) == torch.bfloat16
    assert torch.equal(read_tensor(tied, "b"), tensors["b"])  # type: ignore[arg-type]
