"""A tokenizer as llama.cpp holds it, and the ids that llama.cpp gives: computed here, to compare them with the run's.

Two kinds: "llama" (sentencepiece BPE: pieces with scores, bytes for what is no piece) and "gpt2" (BPE over bytes, with
its list of merges, whose way to split a text llama.cpp knows by name). Source: llama.cpp, src/llama-vocab.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from ..data.sentencepiece import merged
from ..data.tokenizer import SPACE, TextTokenizer
from ..errors import ModelError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
UNREACHABLE = -1e9
"""The score of a piece that no merge makes."""
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPLITS = {
    "gpt-2": _GPT2,
    "llama-bpe": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    ),
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
        r"|\s+(?!\S)|\s+"
    ),
}
"""llama.cpp's names for the ways of splitting a text that are told apart here."""
_KEY = "tokenizer.ggml."


def vocabulary(tokenizer: TextTokenizer, rows: int, stops: tuple[int, ...]) -> dict[str, Any]:
    """Return the metadata of a tokenizer for a model whose embedding has `rows` rows; `stops` end an answer.

    Raises:
        ModelError: llama.cpp has no tokenizer like it.
    """
    content = json.loads(tokenizer.backend.to_str())
    model = content["model"]
    kind = _kind(content, tokenizer.source)
    names = {number: text for text, number in tokenizer.backend.get_vocab(with_added_tokens=True).items()}
    if names and max(names) >= rows:
        raise ModelError(f"{tokenizer.source} has the token {max(names)}, but the model's embedding has {rows} rows.")
    tokens = [names.get(number, f"[PAD{number}]") for number in range(rows)]
    types = [_type(number, names, content, model) for number in range(rows)]
    found: dict[str, Any] = {"model": "llama" if kind == "llama" else "gpt2", "tokens": tokens, "token_type": types}
    merges = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in model["merges"]]
    if kind == "llama":
        ranks: dict[str, float] = {}
        for rank, (left, right) in enumerate(merges):
            ranks.setdefault(left + right, -float(rank))
        scores = [
            ranks.get(token, UNREACHABLE if each == NORMAL else 0.0) for token, each in zip(tokens, types, strict=True)
        ]
        found |= {"pre": "default", "scores": scores, "add_space_prefix": _prefixes(content)}
    else:
        found |= {"pre": kind, "merges": [" ".join(pair) for pair in merges]}
    roles = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "unknown": tokenizer.unk_id}
    roles["padding"] = tokenizer.special_id("pad_token")
    roles["eot"] = next((number for number in stops if number != tokenizer.eos_id), None)
    found |= {f"{role}_token_id": number for role, number in roles.items() if number is not None}
    found |= {"add_bos_token": tokenizer.add_bos and tokenizer.bos_id is not None, "add_eos_token": False}
    if tokenizer.chat_template is not None:
        return {
            **{_KEY + key: value for key, value in found.items()},
            "tokenizer.chat_template": tokenizer.chat_template,
        }
    return {_KEY + key: value for key, value in found.items()}


def encode(metadata: Mapping[str, Any], text: str) -> list[int]:
    """Return the ids that llama.cpp gives a text without special tokens, from the metadata of a file."""
    tokens = metadata[f"{_KEY}tokens"]
    numbers = {token: number for number, token in enumerate(tokens)}
    if metadata[f"{_KEY}model"] == "gpt2":
        return _byte_tokenizer(metadata, numbers).encode(text, add_special_tokens=False).ids
    scores = dict(zip(tokens, metadata[f"{_KEY}scores"], strict=True))
    text = text.replace(" ", SPACE)
    text = SPACE + text if metadata[f"{_KEY}add_space_prefix"] and text else text
    ids: list[int] = []
    for piece in merged(text, scores):
        spelled = [piece] if piece in numbers else [f"<0x{byte:02X}>" for byte in piece.encode()]
        ids += [numbers.get(one, metadata.get(f"{_KEY}unknown_token_id", 0)) for one in spelled]
    return ids


def _byte_tokenizer(metadata: Mapping[str, Any], numbers: dict[str, int]) -> Tokenizer:
    merges = [tuple(pair.split(" ")) for pair in metadata[f"{_KEY}merges"]]
    found = Tokenizer(models.BPE(numbers, merges))
    split = pre_tokenizers.Split(Regex(SPLITS[metadata[f"{_KEY}pre"]]), "isolated")
    found.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    found.decoder = decoders.ByteLevel()
    return found


def _kind(content: dict[str, Any], source: str) -> str:
    """Return "llama", or the name of the split of a BPE over bytes."""
    model = content["model"]
    if model["type"] == "BPE" and model.get("byte_fallback") and content["pre_tokenizer"] is None:
        steps = _steps(content["normalizer"], "normalizers")
        if all(step["type"] == "Prepend" or step.get("pattern") == {"String": " "} for step in steps):
            return "llama"
    elif model["type"] == "BPE" and content["normalizer"] is None:
        steps = _steps(content["pre_tokenizer"], "pretokenizers")
        wanted = [step.get("pattern", {}).get("Regex") for step in steps if step["type"] == "Split"]
        plain = [step["type"] for step in steps] == ["ByteLevel"] and steps[0].get("use_regex", True)
        for name, split in SPLITS.items():
            if wanted == [split] or (plain and name == "gpt-2"):
                return name
    raise ModelError(
        f"{source}: llama.cpp would not give the ids of this tokenizer, as far as tunesmith knows: it is neither a "
        f"sentencepiece BPE without a text normalisation of its own, nor a BPE over bytes that splits a text like "
        f"{', '.join(SPLITS)}. Export merged, and convert it with llama.cpp's own script."
    )


def _steps(part: dict[str, Any] | None, inner: str) -> list[dict[str, Any]]:
    if part is None:
        return []
    return part[inner] if part["type"] == "Sequence" else [part]


def _prefixes(content: dict[str, Any]) -> bool:
    return any(step["type"] == "Prepend" for step in _steps(content["normalizer"], "normalizers"))


def _type(number: int, names: Mapping[int, str], content: dict[str, Any], model: dict[str, Any]) -> int:
    if number not in names:
        return UNUSED
    for token in content["added_tokens"]:
        if token["id"] == number:
            if token["content"] == model.get("unk_token"):
                return UNKNOWN
            return CONTROL if token["special"] else USER_DEFINED
    text = names[number]
    return BYTE if model.get("byte_fallback") and len(text) == 6 and text.startswith("<0x") else NORMAL
