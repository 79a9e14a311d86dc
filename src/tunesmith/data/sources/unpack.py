"""The bytes of a file, unpacked where it is packed with gzip or Zstandard, with the place on the disk."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ...errors import DataError
from . import limits

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
_AGAIN = "A broken download or copy? Fetch or write it again."


class Unpacked:
    """The bytes of a file; `packing` is "gzip", "Zstandard" or "" and decided by the first bytes."""

    def __init__(self, raw: BinaryIO, name: str) -> None:
        self.name, self._raw, self._held, self._ended, self._position = name, raw, b"", False, 0
        magic = raw.read(4)
        raw.seek(0)
        skippable = magic[1:] == b"\x2a\x4d\x18" and magic[:1] in b"PQRSTUVWXYZ[\\]^_"  # a Zstandard frame to skip
        self.packing = "gzip" if magic[:2] == GZIP else "Zstandard" if magic == ZSTD or skippable else ""
        self._pieces = self._checked({"gzip": self._gzip, "Zstandard": self._zstd, "": self._plain}[self.packing]())

    def read(self) -> bytes:
        """Return the next bytes; none at the end.

        Raises:
            DataError: the packed data is damaged, cut off, or unpacks to absurdly much.
        """
        held, self._held = self._held, b""
        return held or next(self._pieces, b"")

    def peek(self, size: int) -> tuple[bytes, bool]:
        """Return at least the next `size` bytes without taking them, and whether these are all that is left."""
        parts, length = [self._held], len(self._held)
        while length < size and not self._ended:
            piece = next(self._pieces, b"")
            self._ended = not piece
            parts.append(piece)
            length += len(piece)
        self._held = b"".join(parts)
        return self._held, self._ended

    def position(self) -> int:
        """Return how many bytes of the file on the disk are read."""
        return self._position

    def _checked(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        total = 0
        for piece in pieces:
            self._position = self._raw.tell()
            total += len(piece)
            if self.packing and total > max(limits.BOMB_SIZE, limits.BOMB_RATIO * self.position()):
                raise DataError(
                    f"'{self.name}' unpacks to more than {limits.BOMB_RATIO} times its size and "
                    f"{limits.mebibytes(limits.BOMB_SIZE)}: no text does that. It is not read further."
                )
            yield piece

    def _plain(self) -> Iterator[bytes]:
        while data := self._raw.read(limits.CHUNK):
            yield data

    def _gzip(self) -> Iterator[bytes]:
        """Unpack one gzip member after the other; zero bytes behind a member are padding, as gzip itself has it."""
        member, data, ended = None, b"", False
        while True:
            if len(data) < 2 and not ended:
                more = self._raw.read(limits.CHUNK)
                ended, data = not more, data + more
            if member is None:
                data = data.lstrip(b"\0")
                if ended and not data:
                    return
                if len(data) < 2 and not ended:
                    continue
                if data[:2] != GZIP:
                    place = self._raw.tell() - len(data)
                    raise DataError(
                        f"'{self.name}': the gzip archive ends at byte {place}, but the file goes on with something "
                        f"else. {_AGAIN}"
                    )
                member = zlib.decompressobj(wbits=31)
            try:
                piece = member.decompress(data, limits.CHUNK)
            except zlib.error as error:
                raise DataError(
                    f"'{self.name}' is a damaged gzip archive (before byte {self._raw.tell()}: {error}). {_AGAIN}"
                ) from None
            if member.eof:
                data, member = member.unused_data, None
            else:
                data = member.unconsumed_tail
                if ended and not data and not piece:
                    raise DataError(
                        f"'{self.name}' is a gzip archive that is cut off at byte {self._raw.tell()}. {_AGAIN}"
                    )
            if piece:
                yield piece

    def _zstd(self) -> Iterator[bytes]:
        import pyarrow as pa

        try:
            stream = pa.CompressedInputStream(pa.PythonFile(self._raw, "r"), "zstd")
            while piece := stream.read(limits.CHUNK):
                yield piece
        except (pa.ArrowException, OSError, ValueError) as error:
            reason = "it is cut off" if "runcated" in str(error) else " ".join(str(error).split())
            raise DataError(
                f"'{self.name}' is a Zstandard archive that cannot be unpacked (at about byte {self._raw.tell()}: {reason}). "
                f"{_AGAIN}"
            ) from None
