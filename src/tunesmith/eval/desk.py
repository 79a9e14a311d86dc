"""What a task works with and gives back: what is known already, progress, and numbers for every row."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .measure import Measure

Result = dict[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What a task found: for each row where it comes from and what the model did, and the figures of all of them.

    `alike`: what must be equal in two models for their rows to be compared one by one.
    """

    rows: list[Result]
    results: list[Result]
    measures: list[Measure]
    alike: str
    notes: list[str] = field(default_factory=list)


class Journal:
    """Results that are kept as they come, in a file that is only ever appended to: one JSON object a line.

    `known`: number of the row -> its result. A line that a kill has cut is cut away.
    """

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self._fd = path, fd
        self.known: dict[int, Result] = {}
        whole = 0
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                content = json.loads(line)
                number = int(content.pop("row"))
            except (ValueError, KeyError, AttributeError, TypeError):
                break
            if not line.endswith(b"\n"):
                break
            self.known[number], whole = content, whole + len(line)
        os.ftruncate(fd, whole)

    def add(self, results: Mapping[int, Result]) -> None:
        """Keep the results of a batch; they are on the disk when this returns."""
        lines = "".join(json.dumps({"row": number, **result}) + "\n" for number, result in results.items())
        data = lines.encode()
        while data:
            data = data[os.write(self._fd, data) :]
        os.fsync(self._fd)
        self.known.update(results)


@dataclass(frozen=True)
class Desk:
    """Where a task keeps its results. `model` is the model's fingerprint; `progress` gets rows done and all rows.

    `reading` gets records read and the share of the bytes.
    """

    folder: Path
    model: str
    task: str
    progress: Callable[[int, int], None] = lambda done, total: None
    reading: Callable[[int, float], None] = lambda records, share: None

    @contextmanager
    def journal(self, *what: Any) -> Iterator[Journal]:
        """Open the journal of this model for `what`: the fingerprint of the rows, and every setting that decides.

        Raises:
            ConfigError: another process writes it.
        """
        text = json.dumps([self.model, self.task, *what], sort_keys=True, default=vars)
        path = self.folder / f"{self.task}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield Journal(path, fd)
        except BlockingIOError:
            raise ConfigError(
                f"'{path}' is being written by another process: the same evaluation runs there. Wait for it, or choose "
                "another --output."
            ) from None
        finally:
            os.close(fd)
