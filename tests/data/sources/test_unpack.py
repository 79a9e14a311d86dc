"""Packed files: all members, and a clear end for those that are cut, damaged or bombs."""

from __future__ import annotations

import gzip
import io
import random

import pyarrow as pa
import pytest

from tunesmith.data.sources import limits
from tunesmith.data.sources.unpack import Unpacked
from tunesmith.errors import DataError

DATA = bytes(random.Random(0).choices(b"abcdefgh\n", k=5000))


def packed_zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def read(data: bytes) -> bytes:
    stream = Unpacked(io.BytesIO(data), "a.gz")
    return b"".join(iter(stream.read, b""))


@pytest.mark.parametrize("chunk", [1, 3, 1000, 1 << 20])
@pytest.mark.parametrize(
    "packed",
    [
        DATA,
        gzip.compress(DATA, mtime=0),
        gzip.compress(DATA[:100], mtime=0) + gzip.compress(b"", mtime=0) + gzip.compress(DATA[100:], mtime=0),
        gzip.compress(DATA, mtime=0) + bytes(700),
        packed_zstd(DATA),
        packed_zstd(DATA[:100]) + packed_zstd(DATA[100:]),
        b"\x50\x2a\x4d\x18\x03\0\0\0abc" + packed_zstd(DATA),
    ],
    ids=["plain", "gzip", "gzip members", "padded gzip", "zstd", "zstd frames", "zstd skippable"],
)
def test_unpacking(packed: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", chunk)
    assert read(packed) == DATA


@pytest.mark.parametrize("chunk", [2, 1 << 20])
@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (gzip.compress(DATA, mtime=0)[:-1], "cut off"),
        (gzip.compress(DATA, mtime=0)[:300], "cut off"),
        (gzip.compress(DATA, mtime=0)[:5], "cut off"),
        (gzip.compress(DATA, mtime=0) + b"more", "ends at byte .* goes on"),
        (gzip.compress(DATA, mtime=0)[:-8] + b"\1\2\3\4\5\6\7\x08", "damaged gzip"),
        (b"\x1f\x8b\x08\x00abc" + bytes(60), "damaged gzip|cut off"),
        (packed_zstd(DATA)[:-5], "Zstandard"),
        (packed_zstd(DATA)[:6] + b"\xff" * 8 + packed_zstd(DATA)[14:], "Zstandard"),
        (packed_zstd(DATA) + b"more", "Zstandard"),
    ],
)
def test_damage(packed: bytes, words: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CHUNK", chunk)
    with pytest.raises(DataError, match=words) as caught:
        read(packed)
    assert "a.gz" in str(caught.value)


@pytest.mark.parametrize("pack", [gzip.compress, packed_zstd])
def test_bombs(pack: object, monkeypatch: pytest.MonkeyPatch) -> None:
    assert callable(pack)
    monkeypatch.setattr(limits, "BOMB_SIZE", 10_000)
    monkeypatch.setattr(limits, "BOMB_RATIO", 100)
    monkeypatch.setattr(limits, "CHUNK", 4096)
    assert len(read(pack(bytes(9_000)))) == 9_000
    assert len(read(pack(DATA * 2 + DATA))) == 15_000
    with pytest.raises(DataError, match="more than 100 times its size and 10000 bytes"):
        read(pack(bytes(1_000_000)))


def test_peek_takes_nothing() -> None:
    stream = Unpacked(io.BytesIO(gzip.compress(DATA, mtime=0)), "a")
    head, whole = stream.peek(10)
    assert DATA.startswith(head) and len(head) >= 10 and not whole and stream.packing == "gzip"
    assert stream.peek(10_000) == (DATA, True)
    assert b"".join(iter(stream.read, b"")) == DATA and stream.position() == len(gzip.compress(DATA, mtime=0))
