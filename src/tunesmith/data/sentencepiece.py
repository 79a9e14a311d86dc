"""Read a sentencepiece `tokenizer.model` (BPE) into a `tokenizers.Tokenizer` that gives the same ids.

Only the fields that matter are read from the protobuf wire format; neither sentencepiece nor protobuf is needed.
Field numbers: sentencepiece_model.proto of google/sentencepiece.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ..errors import ModelError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
BPE = 2
SPACE = "\u2581"


@dataclass(frozen=True, slots=True)
class SentencePieceModel:
    """What a tokenizer.model holds: pieces as (text, score, kind) by id, and the normalizer's switches."""

    pieces: list[tuple[str, float, int]]
    model_type: int
    charsmap: bytes
    dummy_prefix: bool
    remove_extra_whitespaces: bool


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of one protobuf message: varints as int, everything else as bytes."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    while position < len(data):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}[wire] if wire != 2 else varint()
        if position + size > len(data):
            raise IndexError("field runs past the end of the file")
        yield number, data[position : position + size]
        position += size


def parse(data: bytes) -> SentencePieceModel:
    """Return the model in the bytes of a tokenizer.model (defaults as in the .proto file)."""
    pieces, model_type, charsmap, dummy_prefix, extra = [], 1, b"", True, True
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            fields = dict(_fields(value))
            text, score = fields.get(1, b""), fields.get(2, b"\0\0\0\0")
            pieces.append((bytes(text).decode(), struct.unpack("<f", bytes(score))[0], int(fields.get(3, NORMAL))))
        elif number == 2 and isinstance(value, bytes):
            model_type = next((v for n, v in _fields(value) if n == 3 and isinstance(v, int)), model_type)
        elif number == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value))
            charsmap = bytes(normalizer.get(2, b""))
            dummy_prefix, extra = bool(normalizer.get(3, 1)), bool(normalizer.get(4, 1))
    return SentencePieceModel(pieces, model_type, charsmap, dummy_prefix, extra)


def load(path: str | Path, special: Mapping[int, str] | None = None) -> Tokenizer:
    """Return a `tokenizers.Tokenizer` with the ids of sentencepiece for the BPE model in `path`.

    As in the slow tokenizers of transformers 4, control and user-defined pieces are cut out of the text first.
    `special`: ids of pieces that are special tokens too, with the names that they have outside the file (MiniCPM-V's
    `<slice>` is `<reserved_22>` in it; that older name is then plain text).

    Raises:
        ModelError: not a sentencepiece file, or not a BPE model.
    """
    try:
        model = parse(Path(path).read_bytes())
        if not model.pieces:
            raise ValueError("it holds no pieces")
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise ModelError(f"{path} is not a sentencepiece model ({error}). Fetch the file again.") from None
    if model.model_type != BPE:
        raise ModelError(f"{path} is a sentencepiece model of another type than BPE; only BPE is read here.")
    model = _with_specials(model, special or {})
    vocab = {text: number for number, (text, _, _) in enumerate(model.pieces)}
    unknown = next((text for text, _, kind in model.pieces if kind == UNKNOWN), None)
    has_bytes = any(kind == BYTE for _, _, kind in model.pieces)
    whole = _whole_pieces(model)
    # A space put in front belongs to the text, not to each stretch between whole pieces; added tokens would put it
    # before each stretch, so there the text is split behind the normalizer instead.
    split = model.dummy_prefix and bool(whole)
    tokenizer = Tokenizer(
        models.BPE(
            vocab,
            _merges(model),
            unk_token=unknown,
            fuse_unk=not has_bytes,
            byte_fallback=has_bytes,
            ignore_merges=split,
        )
    )
    tokenizer.normalizer = _normalizer(model)
    if split:
        longest_first = sorted(whole, key=len, reverse=True)
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(map(re.escape, longest_first))), "isolated")
    strip = [decoders.Strip(" ", 1, 0)] if model.dummy_prefix else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    tokenizer.add_special_tokens(
        [AddedToken(text, normalized=False) for text, _, kind in model.pieces if kind in (UNKNOWN, CONTROL)]
    )
    if not split:
        tokenizer.add_tokens([AddedToken(text, normalized=False) for text in whole])
    return tokenizer


def _with_specials(model: SentencePieceModel, special: Mapping[int, str]) -> SentencePieceModel:
    """Return the model with these pieces as control pieces of these names: nothing else in a text becomes one."""
    pieces = list(model.pieces)
    for number, name in special.items():
        if number < len(pieces):
            _, score, kind = pieces[number]
            pieces[number] = (name, score, kind if kind == UNKNOWN else CONTROL)
    return replace(model, pieces=pieces)


def _whole_pieces(model: SentencePieceModel) -> list[str]:
    """Return the pieces that are taken out of a text as they stand, before any merging.

    These are the user-defined ones, and the (emoji) pieces with a character that is no piece itself: sentencepiece
    merges over such characters, while `tokenizers` turns them into bytes first.
    """
    scores = {text: score for text, score, kind in model.pieces if kind == NORMAL}
    whole = [text for text, _, kind in model.pieces if kind == USER_DEFINED]
    odd = (text for text in scores if len(text) > 1 and any(character not in scores for character in text))
    return whole + [text for text in odd if merged(text, scores) == [text]]


def merged(text: str, scores: Mapping[str, float]) -> list[str]:
    """Merge a short text as sentencepiece does: the pair with the best score first, the leftmost of equals."""
    parts = list(text)
    while True:
        pairs = [(-scores[a + b], at) for at, (a, b) in enumerate(pairwise(parts)) if a + b in scores]
        if not pairs:
            return parts
        _, at = min(pairs)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]


def _normalizer(model: SentencePieceModel) -> normalizers.Normalizer:
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if model.dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])


def _merges(model: SentencePieceModel) -> list[tuple[str, str]]:
    """Return all pairs of pieces that join to a piece, best score first: sentencepiece's order of merging."""
    scores = {text: score for text, score, kind in model.pieces if kind == NORMAL}
    vocab = {text: number for number, (text, _, kind) in enumerate(model.pieces) if kind == NORMAL}
    ranked = []
    for text, score in scores.items():
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in vocab and right in vocab:
                ranked.append((-score, vocab[text], vocab[left], vocab[right], left, right))
    ranked.sort()
    return [(left, right) for *_, left, right in ranked]
