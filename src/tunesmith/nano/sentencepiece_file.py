"""Write a learned vocabulary as sentencepiece's `tokenizer.model`, in the layout of the published TransNormerLLM files.

The counterpart of `data/sentencepiece.py`, which reads such files. Neither needs the sentencepiece library.
Field numbers: sentencepiece_model.proto of google/sentencepiece.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

from tokenizers import Tokenizer

from ..data.sentencepiece import BPE, BYTE, CONTROL, NORMAL, UNKNOWN
from .vocabulary import BYTES, ROLES, SPECIAL

FILES = ("tokenizer.model", "tokenizer_config.json", "special_tokens_map.json")


def content(tokenizer: Tokenizer) -> bytes:
    """Return the bytes of a tokenizer.model with the pieces of a byte-fallback BPE, at the same ids.

    The score of a merged piece is minus its rank, as sentencepiece itself writes it: what was learned first is merged
    first. The normaliser is the identity, so newlines and blanks stay; a space mark is put in front of a text.
    """
    model = json.loads(tokenizer.to_str())["model"]
    ranks = {"".join(merge): rank for rank, merge in reversed(list(enumerate(model["merges"])))}
    kinds = {**dict.fromkeys(BYTES, BYTE), **dict.fromkeys(SPECIAL, CONTROL), SPECIAL[0]: UNKNOWN}
    found = b""
    for number, piece in enumerate(sorted(model["vocab"], key=model["vocab"].__getitem__)):
        kind = kinds.get(piece, NORMAL)
        score = -float(ranks.get(piece, len(ranks) + number)) if kind == NORMAL else 0.0
        found += _field(1, _field(1, piece.encode()) + _score(score) + _field(3, kind))
    size, bytes_instead = _field(4, len(model["vocab"])), _field(35, 1)
    found += _field(2, _field(3, BPE) + size + bytes_instead)
    return found + _field(3, _field(1, b"identity") + _field(3, 1) + _field(4, 0) + _field(5, 1))


def _field(number: int, value: int | bytes) -> bytes:
    """Return one field of a protobuf message: an int as a varint, bytes with their length in front."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _score(value: float) -> bytes:
    return _varint(2 << 3 | 5) + struct.pack("<f", value)


def _varint(value: int) -> bytes:
    found = b""
    while value >= 0x80:
        found += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return found + bytes((value,))


def write(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.model, tokenizer_config.json and special_tokens_map.json as the published folders hold them."""
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    special = {name: {"content": text, **flags} for name, text in ROLES.items()}
    config = {
        "add_bos_token": False,
        "add_eos_token": False,
        **{name: {"__type": "AddedToken", **token} for name, token in special.items()},
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1000000000000000019884624838656,
        "sp_model_kwargs": {},
        "tokenizer_class": "BaiChuanTokenizer",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILES[0]).write_bytes(content(tokenizer))
    for name, value in zip(FILES[1:], (config, special), strict=True):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
