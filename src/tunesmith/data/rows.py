"""Rows on disk: an Arrow file that is mapped into memory, so that its size does not matter to a run's memory.

One record batch for each block of records; a row is a slice of the batch's arrays. Source of the layout: Arrow IPC
file format, https://arrow.apache.org/docs/format/Columnar.html.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .types import IGNORE, Example, Origin, Picture

if TYPE_CHECKING:
    import pyarrow as pa

_KEPT_BATCHES = 64
"""Batches whose arrays are kept open; each is a few hundred bytes, the data itself stays on disk."""


@dataclass(frozen=True)
class Columns:
    """Some rows as flat arrays: row r has the tokens between the sums of `lengths` before and after it.

    `line` 0 stands for none. `prompt` is a hash of what stands before a row's last answer (of two answers, the first):
    equal prompts have equal hashes. `pictures`: those of a row as JSON, empty where there are none. What travels from a worker process to the
    one that writes.
    """

    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    lengths: NDArray[np.int32]
    stops: NDArray[np.int32]
    stop_counts: NDArray[np.int32]
    cut: NDArray[np.int32]
    cut_labels: NDArray[np.int32]
    prompt: NDArray[np.uint64]
    record: NDArray[np.int64]
    line: NDArray[np.int64]
    second: NDArray[np.int32]
    liked: NDArray[np.int32]
    pictures: tuple[str, ...]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> Columns:
        """Return examples as arrays; their origins keep only record and line."""
        origins = [example.origin or Origin("", 0) for example in examples]
        values: dict[str, list[int]] = {
            "input_ids": [],
            "labels": [],
            "lengths": [len(example.input_ids) for example in examples],
            "stops": [position for example in examples for position in example.stops],
            "stop_counts": [len(example.stops) for example in examples],
            "cut": [example.cut for example in examples],
            "cut_labels": [example.cut_labels for example in examples],
            "prompt": [],
            "record": [origin.record for origin in origins],
            "line": [origin.line or 0 for origin in origins],
            "second": [example.second for example in examples],
            "liked": [int(example.liked) for example in examples],
        }
        kinds = {"prompt": np.uint64, "record": np.int64, "line": np.int64}
        arrays: dict[str, Any] = {name: np.array(value, kinds.get(name, np.int32)) for name, value in values.items()}
        arrays["input_ids"] = _flat([example.input_ids for example in examples])
        arrays["labels"] = _flat([example.labels for example in examples])
        first = _flat([_first_labels(example) for example in examples])
        arrays["prompt"] = _prompts(arrays["input_ids"], first, arrays["lengths"])
        for row, example in enumerate(examples):  # the slots of two pictures are the same tokens
            for picture in example.pictures:
                if example.second and picture.slots[0][0] >= example.second:
                    break
                digest = hashlib.blake2b(picture.path.encode("utf-8", "surrogateescape"), digest_size=8).digest()
                arrays["prompt"][row] ^= np.uint64(int.from_bytes(digest, "little"))
        return cls(**arrays, pictures=tuple(_as_json(example.pictures) for example in examples))

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, row: int, file: str) -> Example:
        """Return a row as an Example; `file` is where it comes from."""
        tokens = slice(self.starts[row], self.starts[row] + self.lengths[row])
        stops = slice(self.stop_starts[row], self.stop_starts[row] + self.stop_counts[row])
        return Example(
            self.input_ids[tokens].tolist(),
            self.labels[tokens].tolist(),
            Origin(file, int(self.record[row]), int(self.line[row]) or None),
            int(self.cut[row]),
            self.stops[stops].tolist(),
            int(self.cut_labels[row]),
            pictures=_from_json(self.pictures[row]),
            second=int(self.second[row]),
            liked=bool(self.liked[row]),
        )

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """Where each row begins in `input_ids` and `labels`."""
        starts: NDArray[np.int64] = np.cumsum(self.lengths, dtype=np.int64) - self.lengths
        return starts

    @cached_property
    def stop_starts(self) -> NDArray[np.int64]:
        """Where each row begins in `stops`."""
        starts: NDArray[np.int64] = np.cumsum(self.stop_counts, dtype=np.int64) - self.stop_counts
        return starts

    def picture_files(self) -> set[str]:
        """Return the files of all pictures."""
        return {picture.path for text in self.pictures if text for picture in _from_json(text)}

    @property
    def label_counts(self) -> NDArray[np.int64]:
        """How many labels each row has."""
        learned = np.concatenate([[0], np.cumsum(self.labels != IGNORE)])
        ends = np.cumsum(self.lengths)
        counts: NDArray[np.int64] = learned[ends] - learned[ends - self.lengths]
        return counts

    def batch(self, file: int) -> pa.RecordBatch:
        """Return the rows as an Arrow record batch; `file` is the number of the file that they come from."""
        import pyarrow as pa

        def lists(values: NDArray[np.int32], lengths: NDArray[np.int32]) -> pa.Array:
            starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            return pa.ListArray.from_arrays(pa.array(starts), pa.array(values))

        plain = {f.name: pa.array(getattr(self, f.name)) for f in fields(self) if f.name not in _OTHERS}
        files = pa.array(np.full(len(self), file, np.int32))
        found = {
            "input_ids": lists(self.input_ids, self.lengths),
            "labels": lists(self.labels, self.lengths),
            "stops": lists(self.stops, self.stop_counts),
            "pictures": pa.array(self.pictures, pa.string()),
            "file": files,
            **plain,
        }
        return pa.RecordBatch.from_pydict(found)


_OTHERS = ("input_ids", "labels", "stops", "lengths", "stop_counts", "pictures")


def _first_labels(example: Example) -> list[int]:
    """Return the labels of the first answer alone."""
    end = example.second or len(example.labels)
    return example.labels[:end] + [IGNORE] * (len(example.labels) - end)


def _as_json(pictures: Sequence[Picture]) -> str:
    return json.dumps([[picture.path, picture.slots] for picture in pictures]) if pictures else ""


def _from_json(text: str) -> tuple[Picture, ...]:
    parts = json.loads(text) if text else ()
    return tuple(Picture(path, tuple((first, last) for first, last in slots)) for path, slots in parts)


def _flat(parts: Sequence[list[int]]) -> NDArray[np.int32]:
    """Return lists one after the other as an array, several times faster than numpy makes it of a list."""
    whole = array("i")
    for part in parts:
        whole.fromlist(part)
    return np.frombuffer(whole, np.int32) if whole else np.zeros(0, np.int32)


def _prompts(ids: NDArray[np.int32], labels: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.uint64]:
    """Return for each row a hash of its tokens before the last stretch of labels, and of their places.

    A row that is learned from its first token on (plain text) counts whole. A sum of mixed (token, place) pairs: the
    same on every machine, and computed for a whole block at once.
    """
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = ends - lengths
    place = np.arange(len(ids), dtype=np.int64) - np.repeat(starts, lengths)
    counted = place < np.repeat(prompt_ends(labels, lengths), lengths)
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed(ids, place) * counted, dtype=np.uint64)])
    sums: NDArray[np.uint64] = total[ends] - total[starts]
    return sums


def prompt_ends(labels: NDArray[np.int32], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return how many tokens of each row stand before its last stretch of labels: all, where it begins with them."""
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = ends - lengths
    place = np.arange(len(labels), dtype=np.int64) - np.repeat(starts, lengths)
    learned = labels != IGNORE
    before = np.concatenate([[False], learned[:-1]]) & (place > 0)
    begins = np.flatnonzero(learned & ~before)  # where a stretch of labels begins
    last = lengths.astype(np.int64).copy()
    row = np.searchsorted(ends, begins, side="right")
    last[row] = place[begins]  # later stretches overwrite earlier ones
    return np.where(last <= 1, lengths, last)


def mixed(ids: NDArray[np.int32], place: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return a hash of each (token, place): sums of them tell stretches of tokens apart."""
    found = (ids.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    found ^= (place.astype(np.uint64) + np.uint64(1)) * np.uint64(0xC2B2AE3D27D4EB4F)
    found = (found ^ (found >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return found ^ (found >> np.uint64(29))


@dataclass(frozen=True)
class Block:
    """Rows as they are stored: row r has the tokens `starts[r]` to `starts[r + 1]`.

    `labels`: of two answers, the first one's alone. `pictures`: those of each row that has any.
    """

    input_ids: NDArray[np.int32]
    labels: NDArray[np.int32]
    starts: NDArray[np.int32]
    pictures: dict[int, tuple[Picture, ...]]


class RowsWriter(AbstractContextManager["RowsWriter"]):
    """Writes blocks of rows into one Arrow file; use it in a `with` statement."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        empty = Columns.of([]).batch(0)
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, empty.schema)

    def append(self, columns: Columns, file: int) -> None:
        """Add rows that come from file number `file`."""
        if len(columns):
            self._writer.write_batch(columns.batch(file))

    def __exit__(self, *_: object) -> None:
        self._writer.close()
        self._sink.close()


class Rows:
    """The rows of an Arrow file, by number; `files` are the paths that their `file` numbers stand for."""

    def __init__(self, path: str | Path, files: Sequence[str]) -> None:
        import pyarrow as pa

        self.path, self.files = str(path), tuple(files)
        self._reader = pa.ipc.open_file(pa.memory_map(self.path))
        counts, lengths, prompts = [0], [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
        for number in range(self._reader.num_record_batches):
            batch = self._reader.get_batch(number)
            counts.append(batch.num_rows)
            lengths.append(np.diff(batch.column("input_ids").offsets.to_numpy()).astype(np.int64))
            prompts.append(batch.column("prompt").to_numpy().copy())
        self._starts = np.cumsum(counts)
        self.lengths: NDArray[np.int64] = np.concatenate(lengths)
        self.prompts: NDArray[np.uint64] = np.concatenate(prompts)
        self._arrays = lru_cache(_KEPT_BATCHES)(self._open)

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process as the path: it maps the file itself."""
        return Rows, (self.path, self.files)

    def __len__(self) -> int:
        return len(self.lengths)

    def example(self, row: int) -> Example:
        """Return a row as the Example that was stored."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        at, arrays = row - int(self._starts[number]), self._arrays(number)
        tokens = slice(arrays["starts"][at], arrays["starts"][at + 1])
        stops = slice(arrays["stop_starts"][at], arrays["stop_starts"][at + 1])
        origin = Origin(self.files[arrays["file"][at]], int(arrays["record"][at]), int(arrays["line"][at]) or None)
        return Example(
            arrays["input_ids"][tokens].tolist(),
            arrays["labels"][tokens].tolist(),
            origin,
            int(arrays["cut"][at]),
            arrays["stops"][stops].tolist(),
            int(arrays["cut_labels"][at]),
            pictures=_from_json(self._reader.get_batch(number).column("pictures")[at].as_py()),
            second=int(arrays["second"][at]),
            liked=bool(arrays["liked"][at]),
        )

    def blocks(self) -> Iterator[Block]:
        """Yield all rows, in blocks."""
        for number in range(self._reader.num_record_batches):
            arrays = self._open(number)
            starts, second = arrays["starts"], arrays["second"]
            place = np.arange(starts[-1]) - np.repeat(starts[:-1], np.diff(starts))
            first = place < np.repeat(np.where(second, second, np.diff(starts)), np.diff(starts))
            pictures = self._reader.get_batch(number).column("pictures").to_pylist()
            found = {row: _from_json(text) for row, text in enumerate(pictures) if text}
            yield Block(arrays["input_ids"], np.where(first, arrays["labels"], IGNORE), starts, found)

    def file_numbers(self) -> NDArray[np.int32]:
        """Return for each row the number of the file that it comes from."""
        batches = (self._reader.get_batch(number) for number in range(self._reader.num_record_batches))
        return np.concatenate([np.zeros(0, np.int32), *(batch.column("file").to_numpy() for batch in batches)])

    def _open(self, number: int) -> dict[str, NDArray[Any]]:
        """Return a batch's arrays; they are views of the mapped file."""
        batch = self._reader.get_batch(number)
        ids, labels, stops = (batch.column(name) for name in ("input_ids", "labels", "stops"))
        arrays = {"starts": ids.offsets, "stop_starts": stops.offsets}
        arrays |= {"input_ids": ids.values, "labels": labels.values, "stops": stops.values}
        arrays |= {
            name: batch.column(name) for name in ("file", "record", "line", "cut", "cut_labels", "second", "liked")
        }
        return {name: array.to_numpy(zero_copy_only=True) for name, array in arrays.items()}
