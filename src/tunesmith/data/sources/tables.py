"""Parquet and Arrow files: read in batches of rows, each row a record; nested columns become lists and objects."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..types import Origin
from . import limits
from .block import Block, Found
from .cells import row_record

PARQUET = b"PAR1"
ARROW_FILE = b"ARROW1"
ARROW_STREAM = b"\xff\xff\xff\xff"
_STREAM_END = ARROW_STREAM + b"\0\0\0\0"


def is_parquet(head: bytes) -> bool:
    """Tell by its first bytes whether a file is Parquet."""
    return head.startswith(PARQUET)


def is_arrow(head: bytes) -> bool:
    """Tell by its first bytes whether a file is Arrow's, in the file or the stream format."""
    return head.startswith((ARROW_FILE, ARROW_STREAM))


def parquet_blocks(name: str) -> Iterator[Block]:
    """Yield the rows of a Parquet file in blocks.

    Raises:
        DataError: it is damaged or cut off, or its columns cannot be records.
    """
    from pyarrow import parquet

    with _plain_errors(name, "Parquet"), parquet.ParquetFile(name, memory_map=True, pre_buffer=False) as file:
        _check_columns(file.schema_arrow.names, name)
        meta, size = file.metadata, Path(name).stat().st_size
        _check_one_file(name, meta, size)
        bytes_all = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
        wanted = _rows_a_block(bytes_all, meta.num_rows)
        rows = _Rows(name, size, meta.num_rows)
        for batch in file.iter_batches(batch_size=wanted, use_threads=False):
            yield from rows.blocks(batch)
        rows.check_any()


def arrow_blocks(name: str) -> Iterator[Block]:
    """Yield the rows of an Arrow file, in the file or the stream format, in blocks.

    Raises:
        DataError: it is damaged or cut off, or its columns cannot be records.
    """
    import pyarrow as pa
    from pyarrow import ipc

    with _plain_errors(name, "Arrow"), pa.memory_map(name) as source:
        size = source.size()
        if source.read(len(ARROW_FILE)) == ARROW_FILE:
            source.seek(0)
            file = ipc.open_file(source)
            count = file.num_record_batches
            batches = ((file.get_batch(number), size * (number + 1) // count) for number in range(count))
        else:
            source.seek(0)
            file = ipc.open_stream(source)
            batches = ((batch, min(size, source.tell())) for batch in file)
        _check_columns(file.schema.names, name)
        rows = _Rows(name, size, None)
        for batch, rows.position in batches:
            yield from rows.blocks(batch)
        if isinstance(file, pa.RecordBatchStreamReader):
            if source.tell() < size and _is_filled(source):
                raise ValueError("it goes on behind its end; two files in one?")
            _check_stream_end(source, size)
        rows.check_any()


class _Rows:
    """Counts the rows of a table while they become blocks."""

    def __init__(self, name: str, size: int, total: int | None) -> None:
        self.name, self.size, self.total, self.done, self.position = name, size, total, 0, 0

    def blocks(self, batch: Any) -> Iterator[Block]:
        """Yield the rows of a batch in blocks."""
        batch.validate(full=True)  # offsets that point nowhere would end the process
        wanted = _rows_a_block(batch.get_total_buffer_size(), batch.num_rows)
        for start in range(0, batch.num_rows, wanted):
            piece = batch.slice(start, wanted)
            if piece.nbytes > limits.MAX_RECORD * max(1, piece.num_rows):
                raise DataError(
                    f"{Origin(self.name, self.done)}: the record is longer than "
                    f"{limits.mebibytes(limits.MAX_RECORD)}, which is the limit."
                )
            parsed: list[Found] = []
            for row in piece.to_pylist():
                origin = Origin(self.name, self.done)
                parsed.append((row_record(row, origin), origin))
                self.done += 1
            end = self.size * self.done // self.total if self.total else self.position
            yield Block(self.name, end, tuple(parsed))

    def check_any(self) -> None:
        """Refuse a table without rows."""
        if not self.done:
            raise DataError(f"'{self.name}' is empty: the table has no rows.")


def _check_one_file(name: str, meta: Any, size: int) -> None:
    """Check that no other Parquet file stands in front: the offsets of the last one would lead into it."""
    chunks = [meta.row_group(group).column(c) for group in range(meta.num_row_groups) for c in range(meta.num_columns)]
    starts = [(chunk.dictionary_page_offset or chunk.data_page_offset, chunk.total_compressed_size) for chunk in chunks]
    end = max((min(start, size) + length for start, length in starts), default=len(PARQUET))
    if end + meta.serialized_size + 2 * len(PARQUET) >= size:
        return  # nothing stands between the data and their description
    with open(name, "rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        if whole.find(PARQUET + PARQUET) >= 0:
            raise ValueError("two Parquet files stand in it, one behind the other")


def _is_filled(source: Any) -> bool:
    """Tell whether anything but zero bytes follows."""
    return any(source.read(2**16).strip(b"\0"))


def _check_stream_end(source: Any, size: int) -> None:
    """Check that a stream ends with its mark: pyarrow takes one that is cut between two batches for whole."""
    source.seek(max(0, size - len(_STREAM_END)))
    if source.read(len(_STREAM_END)) != _STREAM_END:
        raise ValueError("the mark at its end is missing")


def _rows_a_block(size: int, rows: int) -> int:
    """Return how many rows have about the size of a block."""
    return max(1, min(limits.BLOCK_RECORDS, limits.BLOCK_SIZE * rows // max(1, size)))


def _check_columns(names: list[str], name: str) -> None:
    for column in names:
        if names.count(column) > 1:
            raise DataError(f"'{name}' has two columns called '{column}': one would be lost. Rename one.")


@contextmanager
def _plain_errors(name: str, kind: str) -> Iterator[None]:
    """Turn what pyarrow raises on broken files into a DataError; it raises ordinary errors too."""
    import pyarrow as pa

    try:
        yield
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, MemoryError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(
            f"'{name}' is a {kind} file that cannot be read: {reason.rstrip('.')}. Was the download or copy cut off? "
            "Fetch or write it again."
        ) from None
