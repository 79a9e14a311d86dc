"""A model on a hub: what is listed of its files, which of them a model needs, and whether a file is whole."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelError

KNOWN = (
    *(f"openbmb/MiniCPM-{one}" for one in ("1B-sft-bf16", "2B-sft-bf16", "2B-dpo-bf16", "2B-128k", "MoE-8x2B", "V-2")),
    *("openbmb/MiniCPM4-0.5B", "openbmb/MiniCPM4-8B"),
    *(f"OpenNLPLab/TransNormerLLM-{size}" for size in ("385M", "1B", "7B")),
)
"""Published models with a family of their own, for hints when a name is mistyped."""

_NEEDED = {
    *("config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"),
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "chat_template.jinja", "chat_template.json"),
    *("adapter_config.json", "trained_parts.safetensors", "README.md", "LICENSE", "LICENSE.txt", "LICENSE.md"),
}
# The weights of a model and of an adapter, best first: the first that is there is taken, the others are copies of it.
_WEIGHTS = (
    (
        r"model\.safetensors",
        r"model\.safetensors\.index\.json|(model|pytorch_model)-\d+-of-\d+\.safetensors",
        r"pytorch_model\.bin",
        r"pytorch_model\.bin\.index\.json|pytorch_model-\d+-of-\d+\.bin",
    ),
    (r"adapter_model\.safetensors", r"adapter_model\.bin"),
)
# Why a file is left out: the first that fits. The last fits all.
_REASONS = (
    ("in sub-folders", r".*[/\\].*"),
    ("code, which is never run", r".*\.(py|sh|cu|cpp|ipynb)"),
    ("pictures and films", r".*\.(png|jpe?g|gif|webp|svg|mp4|mov)"),
    ("weights for other programs", r".*\.(gguf|ggml|onnx|onnx_data|msgpack|h5|ot|tflite|xml|mlmodel|nemo)"),
    ("other copies of the weights", r".*\.(safetensors|bin|pt|pth|ckpt|safetensors\.index\.json|bin\.index\.json)"),
    ("not read by tunesmith", r".*"),
)
_BLOCK = 1 << 20


def _nothing(size: int) -> None:
    """Tell nobody of `size` bytes."""


@dataclass(frozen=True)
class RemoteFile:
    """One file of a model: its path there, its size in bytes, and its digest in hexadecimal.

    64 digits are the SHA-256 of the content (large files), 40 the SHA-1 of git's blob (small ones); an empty text says
    that the hub does not tell.
    """

    path: str
    size: int
    digest: str = ""

    def is_whole(self, path: Path, advance: Callable[[int], None] = _nothing) -> bool:
        """Tell whether the file at `path` has this size and digest; `advance` is told of bytes as they are read."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        if not self.digest:
            return True
        digest = hashlib.sha256() if len(self.digest) == 64 else hashlib.sha1(usedforsecurity=False)
        if len(self.digest) == 40:
            digest.update(f"blob {self.size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                advance(len(block))
        return digest.hexdigest() == self.digest


@dataclass(frozen=True)
class Listing:
    """The files of a model at one revision; `commit` is what `revision` (a branch, a tag) stood for."""

    name: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True)
class Choice:
    """The files that a model needs, and the names of the others by the reason why they are left out."""

    needed: tuple[RemoteFile, ...]
    left_out: dict[str, list[str]]

    @property
    def size(self) -> int:
        """Bytes of all needed files together."""
        return sum(file.size for file in self.needed)


def choose(listing: Listing) -> Choice:
    """Return which files of a model are needed: config, tokenizer, one copy of the weights (safetensors if there are any).

    Raises:
        ModelError: there is no config, or there are no weights that can be read.
    """
    names = [file.path for file in listing.files]
    weights: set[str] = set()
    for kind in _WEIGHTS:
        weights.update(next(filter(None, (_matching(pattern, names) for pattern in kind)), ()))
    needed = [file for file in listing.files if file.path in _NEEDED | weights]
    left_out: dict[str, list[str]] = {}
    for file in listing.files:
        if file not in needed and not file.path.startswith(".git"):
            reason = next(reason for reason, pattern in _REASONS if re.fullmatch(pattern, file.path, re.IGNORECASE))
            left_out.setdefault(reason, []).append(file.path)
    if not {"config.json", "adapter_config.json"} & set(names):
        raise ModelError(
            f"'{listing.name}' has no config.json, so it is no model in the layout of transformers"
            f"{_instead(left_out)}. Give the name of the original model."
        )
    if not weights:
        raise ModelError(
            f"'{listing.name}' has a config but no weights that can be read (model.safetensors or pytorch_model.bin, one "
            f"file or shards){_instead(left_out)}. Give the name of the original model."
        )
    return Choice(tuple(needed), left_out)


def similar(name: str) -> str:
    """Return " Did you mean 'openbmb/...'?" if a published model is called much like `name`, else an empty text."""
    whole = name if "/" in name else f"openbmb/{name}"
    close = difflib.get_close_matches(whole.lower(), [known.lower() for known in KNOWN], n=1, cutoff=0.8)
    known = next((known for known in KNOWN if known.lower() in close), name)
    return f" Did you mean '{known}'?" if known != name else ""


def _matching(pattern: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if re.fullmatch(pattern, name)]


def _instead(left_out: dict[str, list[str]]) -> str:
    others = left_out.get("weights for other programs") or left_out.get("other copies of the weights")
    return f"; it holds {', '.join(others[:3])}{' ...' if len(others) > 3 else ''}" if others else ""
