"""A model folder as others read it: config, weights in safetensors (sharded when large), tokenizer, chat template."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..data.tokenizer import CHAT_TEMPLATE, TextTokenizer
from ..errors import ModelError
from ..models.files import SAFETENSORS, read_object
from ..models.load import text_tokenizer
from .source import Advance, Written

SHARD = 4 * 2**30
"""Bytes of one weight file at most, unless told otherwise: less than what the smallest file systems can hold."""
EXACT, ROUNDED = 1e-4, 5e-2
"""Largest difference of logits, relative to the largest one of the row: float32, and smaller dtypes."""
COPIED = ("preprocessor_config.json", "processor_config.json")
"""Of the base's files, those that say how pictures become numbers."""
# Names of code, or of what holds no more for the new weights.
_DROPPED = ("auto_map", "_name_or_path", "quantization_config", "transformers_version", "dtype")


@dataclass(frozen=True)
class Weights:
    """Tensors to be written: `factors` are what some are multiplied by (in float32), all are rounded to `dtype`."""

    tensors: Mapping[str, Tensor]
    dtype: torch.dtype
    factors: Mapping[str, float] = field(default_factory=dict)

    def size(self, name: str) -> int:
        """Return the bytes of a tensor as it is written."""
        tensor = self.tensors[name]
        kind = self.dtype if tensor.is_floating_point() else tensor.dtype
        return prod(tensor.shape) * kind.itemsize

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor as it is written, on the CPU.

        Raises:
            ModelError: it holds numbers that are none, or that the dtype cannot hold.
        """
        tensor = self.tensors[name].detach()
        if tensor.is_floating_point():
            scaled = tensor.float() * self.factors[name] if name in self.factors else tensor
            tensor = scaled.to(self.dtype)
            if not torch.isfinite(tensor).all():
                raise ModelError(
                    f"The weight {name} holds infinite numbers or NaN as {str(self.dtype).removeprefix('torch.')}. "
                    "Nothing is exported. Was the training sound? float16 holds no number above 65504: choose "
                    "--dtype bfloat16 or float32."
                )
        return tensor.cpu().contiguous()


def write_model(out: Written, folder: Path, config: Mapping[str, Any], weights: Weights) -> None:
    """Write a folder that a reader needs nothing beside: config, weights, tokenizer and generation settings."""
    kind = str(weights.dtype).removeprefix("torch.")
    _write_json(folder / "config.json", {**config, "torch_dtype": kind})
    write_weights(folder, weights, out.source.settings.shard_size or SHARD, out.tell)
    write_tokenizer(out, folder)
    for name in COPIED:
        if (out.source.place.base / name).is_file():
            shutil.copyfile(out.source.place.base / name, folder / name)


def size(out: Written) -> int:
    """Return about how many bytes the weights will have."""
    return sum(parameter.numel() for parameter in out.loaded.model.parameters()) * out.dtype.itemsize


def bound(out: Written) -> float:
    """Return how far logits may be apart, relative to the largest: float32, or weights that are rounded."""
    return EXACT if out.exact and out.dtype == torch.float32 else ROUNDED


def plain_config(config: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """Return a config.json for a model of the installed classes: no name of code, tied or untied said in words."""
    return {
        **{key: value for key, value in config.items() if key not in _DROPPED},
        "architectures": [type(model).__name__],
        "model_type": model.config.model_type,
        "tie_word_embeddings": bool(model.config.tie_word_embeddings),
    }


def write_weights(folder: Path, weights: Weights, limit: int, tell: Advance) -> None:
    """Write safetensors: one file, or several of at most `limit` bytes (a larger tensor has one alone) with an index."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name in weights.tensors:
        size = weights.size(name)
        if shards[-1] and filled + size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    count = len(shards)
    places: dict[str, str] = {}
    for number, names in enumerate(shards, 1):
        file = SAFETENSORS if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"
        save_file({name: weights[name] for name in names}, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(names, file)
        tell(sum(weights.size(name) for name in names))
    if count > 1:
        total = sum(map(weights.size, weights.tensors))
        _write_json(folder / f"{SAFETENSORS}.index.json", {"metadata": {"total_size": total}, "weight_map": places})


def write_tokenizer(out: Written, folder: Path) -> None:
    """Write tokenizer, chat template and generation settings, exactly as the run uses them.

    tokenizer.json is the run's own backend, and the class named beside it is transformers' plain one, so that nobody
    rebuilds it from a vocabulary. tokenizer.model goes along for those who read nothing else.
    """
    tokenizer = text_tokenizer(out.loaded.tokenizer)
    source = Path(tokenizer.source)
    (folder / "tokenizer.json").write_text(tokenizer.backend.to_str(pretty=True), encoding="utf-8")
    if (source / "tokenizer.model").is_file():
        shutil.copyfile(source / "tokenizer.model", folder / "tokenizer.model")
    own = source / "tokenizer_config.json"
    settings = read_object(own) if own.is_file() else {}
    settings = {key: value for key, value in settings.items() if key not in ("auto_map", "chat_template")}
    settings = {key: value for key, value in settings.items() if not isinstance(value, dict)}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": tokenizer.add_bos, **tokenizer.special}
    _write_json(folder / "tokenizer_config.json", settings)
    if tokenizer.chat_template is not None:
        (folder / CHAT_TEMPLATE).write_text(tokenizer.chat_template, encoding="utf-8")
    _write_json(folder / "generation_config.json", _generation(out, tokenizer))


def _generation(out: Written, tokenizer: TextTokenizer) -> dict[str, Any]:
    """Return the base's generation settings, with the tokens that end an answer of the run's chat format."""
    file = out.source.place.base / "generation_config.json"
    settings = read_object(file) if file.is_file() else {}
    settings.pop("transformers_version", None)
    if tokenizer.bos_id is not None:
        settings["bos_token_id"] = tokenizer.bos_id
    if tokenizer.eos_id is not None:
        chat = out.loaded.family.chat(tokenizer, out.loaded.model.config.to_dict()) if _talks(out, tokenizer) else None
        ends = list(chat.stop_ids(tokenizer)) if chat is not None else [tokenizer.eos_id]
        settings["eos_token_id"] = ends[0] if len(ends) == 1 else ends
    return settings


def _talks(out: Written, tokenizer: TextTokenizer) -> bool:
    """Tell whether the run has a chat format: a template, or a layout of its own."""
    return tokenizer.chat_template is not None or out.source.model_type == "minicpmv"


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
