"""The text of a file, whatever it is encoded in: as UTF-8 bytes or as str, with LF at the end of each line."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator

from ...errors import DataError
from .encodings import Encoding, not_utf8
from .unpack import Unpacked


class Text:
    """The text of an opened file. Lines end with LF, CRLF or CR there, and with LF here."""

    def __init__(self, stream: Unpacked, encoding: Encoding) -> None:
        self.name, self.encoding, self._stream = stream.name, encoding, stream
        self.position: Callable[[], int] = stream.position

    def utf8(self) -> Iterator[bytes]:
        """Yield the text piece by piece as UTF-8; text that is UTF-8 already is not checked.

        Raises:
            DataError: the text is in another encoding, and broken.
        """
        if self.encoding.is_utf8:
            yield from _with_line_feeds(self._bytes())
        else:
            for piece in self._decoded(self._bytes()):
                yield piece.encode("utf-8", "surrogatepass")

    def characters(self) -> Iterator[str]:
        """Yield the text piece by piece as str.

        Raises:
            DataError: a byte is no part of a character; the message names the line.
        """
        return self._decoded(_with_line_feeds(self._bytes()) if self.encoding.is_utf8 else self._bytes())

    def _bytes(self) -> Iterator[bytes]:
        skip = self.encoding.mark
        while data := self._stream.read():
            if skip:
                skip, data = max(0, skip - len(data)), data[skip:]
            if data:
                yield data

    def _decoded(self, pieces: Iterator[bytes]) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(self.encoding.codec)()
        line, after_return = 1, False
        for data in _with_last(pieces):
            before = decoder.getstate()[0]
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                whole = before + data
                good = whole[: error.start].decode(self.encoding.codec, "ignore")
                line += good.replace("\r\n", "\n").replace("\r", "\n").count("\n")
                raise self._broken(line, whole[error.start]) from None
            if not self.encoding.is_utf8:
                if after_return and text:
                    text = text[1:] if text[0] == "\n" else text
                    after_return = False
                if "\r" in text:
                    after_return = text[-1] == "\r"
                    text = text.replace("\r\n", "\n").replace("\r", "\n")
            line += text.count("\n")
            if text:
                yield text

    def _broken(self, line: int, byte: int) -> DataError:
        if self.encoding.is_utf8:
            return not_utf8(self.name, line, byte)
        return DataError(
            f"{self.name}, line {line}: the file is in {self.encoding.name}, but byte 0x{byte:02x} is no part of a "
            "character there: cut off, damaged, or two encodings in one file? Save it as UTF-8."
        )


def _with_last(pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield from pieces
    yield b""


def _with_line_feeds(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Turn CRLF and CR into LF, also where a CRLF is split between two pieces."""
    after_return = False
    for data in pieces:
        if after_return and data[:1] == b"\n":
            data = data[1:]
        after_return = data[-1:] == b"\r" if data else False
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if data:
            yield data
