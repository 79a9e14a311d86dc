"""Adapter: what a folder with an adapter holds, read without its base: settings, identity, low-rank pairs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from ..data.tokenizer import CHAT_TEMPLATE
from ..errors import AdapterError, ModelError
from ..locate import locate
from ..models.adapter import CONFIG
from ..models.files import Stored, check_file, load_torch, opened, read_object
from ..models.trained import stored_trained
from ..models.weights import IDENTITY
from ..runs import STATUS

WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
BESIDE = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", CHAT_TEMPLATE)
"""Files of an adapter folder that are no weights but belong to the model as it talks."""
_PAIR = re.compile(r"base_model\.model\.(.+)\.lora_(embedding_)?([AB])(?:\.weight)?")


class Pair(NamedTuple):
    """What LoRA adds to one matrix: `scale` * B A, with A (r, in), B (out, r), as stored.

    Of an embedding A is (r, V) and B (D, r), and what is added is the transpose of that.
    """

    A: Tensor
    B: Tensor
    scale: float
    embedding: bool = False

    @property
    def rank(self) -> int:
        """The rank r."""
        return int(self.A.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of the weight that it is added to."""
        wide, tall = int(self.A.shape[1]), int(self.B.shape[0])
        return (wide, tall) if self.embedding else (tall, wide)


@dataclass(frozen=True)
class Adapter:
    """A folder with an adapter: `name` as the user calls it, `status` of its run (empty where there is no run).

    `config` is the content of adapter_config.json, `identity` that of tunesmith.json (empty where there is none).
    """

    name: str
    folder: Path
    status: dict[str, Any]
    config: dict[str, Any]
    identity: dict[str, Any]

    @classmethod
    def of(cls, name: str | Path) -> Adapter:
        """Find the adapter of a folder or of a run.

        Raises:
            ModelError: no such folder, or a run without a result.
            AdapterError: it is a whole model, or no adapter at all; or its files are damaged.
        """
        folder = locate(name)
        status = _object(folder / STATUS) if (folder / STATUS).is_file() else {}
        inner = folder / "adapter" if status else folder
        if not (inner / CONFIG).is_file():
            if (folder / "config.json").is_file() or (folder / "model").is_dir():
                raise AdapterError(f"'{name}' holds a whole model, not an adapter.")
            if status:
                raise ModelError(
                    f"The run '{name}' has no result yet; its state is '{status.get('state', 'unknown')}'. Run the same "
                    "training command again: it goes on from the newest good checkpoint."
                )
            raise AdapterError(f"'{name}' is not an adapter folder: it has no {CONFIG}.")
        identity = _object(inner / IDENTITY) if (inner / IDENTITY).is_file() else {}
        found = cls(str(name), inner, status, _object(inner / CONFIG), identity)
        if (kind := found.config.get("peft_type")) != "LORA":
            raise AdapterError(f"'{name}' is an adapter of the kind {kind}; only LoRA is known here.")
        return found

    def check_sound(self) -> None:
        """Refuse the result of a failed run.

        Raises:
            AdapterError: the run is marked as failed.
        """
        if self.status.get("state") == "failed":
            raise AdapterError(
                f"The run '{self.name}' is marked as failed: {self.status.get('reason', 'no reason is given')} Nothing "
                "is made of it. Mend the cause and run the same training command again."
            )

    @property
    def weights(self) -> Path:
        """The file with the adapter's tensors.

        Raises:
            AdapterError: there is none, or it is a Git LFS pointer.
        """
        for file in (self.folder / name for name in WEIGHTS):
            if file.is_file():
                try:
                    check_file(file)
                except ModelError as error:
                    raise AdapterError(str(error)) from None
                return file
        raise AdapterError(f"The adapter '{self.name}' has no weights: neither {WEIGHTS[0]} nor {WEIGHTS[1]} is there.")

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the adapter by their stored names, on the CPU.

        Raises:
            AdapterError: the file is missing or damaged.
        """
        try:
            if self.weights.suffix != ".safetensors":
                return load_torch(self.weights)
            with opened(self.weights) as tensors:
                return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 - not a mapping
        except ModelError as error:
            raise AdapterError(str(error)) from None

    @cached_property
    def pairs(self) -> dict[str, Pair]:
        """What is added to each layer, by the layer's name in the model.

        Raises:
            AdapterError: as `tensors`; or A or B of a layer is missing, or their ranks are not the same.
        """
        halves: dict[str, dict[str, Tensor]] = {}
        embeddings = set()
        for name, tensor in self.tensors.items():
            if found := _PAIR.fullmatch(name):
                halves.setdefault(found[1], {})[found[3]] = tensor
                if found[2]:
                    embeddings.add(found[1])
        pairs = {}
        for layer, half in sorted(halves.items(), key=lambda item: _in_order(item[0])):
            if len(half) < 2 or half["A"].shape[0] != half["B"].shape[1]:
                fault = "has A or B alone" if len(half) < 2 else "has an A and a B of different ranks"
                raise AdapterError(f"The adapter '{self.name}' is damaged: {layer} {fault}. Fetch it again.")
            scale = self._scale(layer, int(half["A"].shape[0]))
            pairs[layer] = Pair(half["A"], half["B"], scale, layer in embeddings)
        if not pairs:
            raise AdapterError(f"The adapter '{self.name}' holds no pair of LoRA matrices.")
        return pairs

    @property
    def trained(self) -> dict[str, Stored]:
        """What was trained in full beside it, by the model's names.

        Raises:
            AdapterError: the file is damaged.
        """
        return stored_trained(self.folder)

    def _scale(self, layer: str, rank: int) -> float:
        """Return what B A is multiplied by: alpha / r, or alpha / sqrt(r) (rsLoRA, arXiv 2312.03732).

        A key of `alpha_pattern` is the end of a layer's name, or a regular expression for it, as in PEFT.
        """
        patterns = self.config.get("alpha_pattern") or {}
        own = (value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", layer))
        alpha = float(next(own, self.config.get("lora_alpha", rank)))
        return alpha / (math.sqrt(rank) if self.config.get("use_rslora") else rank)


def _object(path: Path) -> dict[str, Any]:
    try:
        return read_object(path)
    except ModelError as error:
        raise AdapterError(str(error)) from None


def _in_order(layer: str) -> list[tuple[int, str]]:
    """Return a key that sorts layer 10 behind layer 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in layer.split(".")]
