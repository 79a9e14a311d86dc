"""The files of a model folder, read with suspicion: JSON, safetensors and torch files; no code in them is ever run."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import ModelError

SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


class Stored(NamedTuple):
    """A tensor in a file: its shape, and its dtype (None for what is neither a float nor a bfloat)."""

    shape: tuple[int, ...]
    dtype: torch.dtype | None


def read_config(folder: str | Path) -> dict[str, Any]:
    """Return the content of `folder`/config.json.

    Raises:
        ModelError: no such folder, no config.json in it, or not a JSON object.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(
            f"No model folder '{folder}'. Give the path of a folder that holds config.json and the weights."
        )
    if not (folder / "config.json").is_file():
        raise ModelError(f"'{folder}' is not a model folder: it has no config.json.")
    return read_object(folder / "config.json")


def read_object(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file that must hold an object.

    Raises:
        ModelError: it cannot be read, is not JSON, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}. Fetch the file again.") from None
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds a {type(content).__name__}, not a JSON object. Fetch the file again.")
    return content


def weight_files(folder: str | Path) -> list[Path]:
    """Return the weight files of a folder: safetensors (one or sharded) if there are any, else torch files.

    Raises:
        ModelError: no weights, a missing shard, an index that points outside the folder, or a Git LFS pointer.
    """
    folder = Path(folder)
    for single in (SAFETENSORS, TORCH):
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            files = [folder / single]
        elif index.is_file():
            files = [folder / name for name in _shards(index)]
        else:
            continue
        for file in files:
            check_file(file)
        return files
    raise ModelError(
        f"'{folder}' holds no weights: neither {SAFETENSORS} nor {TORCH}, nor an index of shards. "
        "Was the download complete?"
    )


def _shards(index: Path) -> list[str]:
    names = read_object(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelError(f"{index} is not an index of shards (no weight_map). Fetch the file again.")
    for name in names.values():
        if not isinstance(name, str) or Path(name).name != name or not name.strip("."):
            raise ModelError(f"{index} points outside its folder ({name!r}). This checkpoint is not to be trusted.")
    return sorted(set(names.values()))


def check_file(file: Path) -> None:
    """Check that a weight file is there and is not a Git LFS pointer.

    Raises:
        ModelError: it is not.
    """
    if not file.is_file():
        raise ModelError(f"'{file.parent}': the file {file.name} is missing. Was the download complete?")
    with file.open("rb") as stream:
        if stream.read(30).startswith(b"version https://git-lfs"):
            raise ModelError(f"{file} is a Git LFS pointer, not weights. Run `git lfs pull` there, or download again.")


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open a safetensors file.

    Raises:
        ModelError: it is cut or damaged, at the start or while a tensor is read.
    """
    try:
        with safe_open(file, framework="pt") as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} cannot be read: {error}. The file is cut or damaged; fetch it again.") from None


def load_torch(file: Path) -> dict[str, Tensor]:
    """Return the tensors of a torch file, on the CPU; only plain tensors are accepted, no code is run.

    Raises:
        ModelError: the file is damaged, would run code, or holds something else.
    """
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except Exception as error:  # noqa: BLE001 - torch raises many kinds here; all mean that the file cannot be used
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{file} cannot be read as plain tensors: {reason} Files that run code when loaded are refused. "
            "If the file is merely damaged, fetch it again; safetensors are better."
        ) from None
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(f"{file} does not hold a mapping of names to tensors.")
    return loaded


def stored_tensors(folder: str | Path) -> dict[str, Stored]:
    """Return shape and dtype of every stored tensor, without reading weights where the format allows it.

    Raises:
        ModelError: as `weight_files`, or a file that cannot be read.
    """
    return {name: stored for file in weight_files(folder) for name, stored in tensors_of(file).items()}


def tensors_of(file: Path) -> dict[str, Stored]:
    """Return shape and dtype of every tensor of one file.

    Raises:
        ModelError: it cannot be read.
    """
    if file.suffix != ".safetensors":
        return {name: Stored(tuple(tensor.shape), tensor.dtype) for name, tensor in load_torch(file).items()}
    with opened(file) as tensors:
        pieces = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118 - not a mapping
        return {
            name: Stored(tuple(piece.get_shape()), _DTYPES.get(piece.get_dtype())) for name, piece in pieces.items()
        }


def read_tensor(folder: str | Path, name: str) -> Tensor | None:
    """Return one stored tensor (on the CPU, as stored), or None if the folder does not hold it."""
    for file in weight_files(folder):
        if file.suffix == ".safetensors":
            with opened(file) as tensors:
                if name in tensors.keys():  # noqa: SIM118 - not a mapping
                    return tensors.get_tensor(name)
        elif name in (loaded := load_torch(file)):
            return loaded[name]
    return None


def stored_dtype(stored: dict[str, Stored]) -> torch.dtype:
    """Return the dtype that most of the stored numbers have; float32 if none is a float."""
    sizes: Counter[torch.dtype] = Counter()
    for shape, dtype in stored.values():
        if dtype is not None and dtype.is_floating_point:
            sizes[dtype] += prod(shape)
    return sizes.most_common(1)[0][0] if sizes else torch.float32
