"""Job: what one side is to train, and Rows: the rows of all sides. The standard library alone: peers' Pythons read it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

RANK, ALPHA = 16, 32
LEARNING_RATE = 1e-7
"""So small that the weights hardly change: then the mean loss over the rows is the same in whatever order they come."""


@dataclass(frozen=True)
class Job:
    """One measurement: `side` is the file under sides/ that does it, `settings` what that file can be told.

    `rows` and `records`: the same rows as ids and labels (JSON) and as text (JSONL). `order`: the name of the order in
    which sides that take ids take them.
    """

    side: str
    model: str
    rows: str
    records: str
    output: str
    max_length: int
    batch_size: int
    steps: int
    device: str
    order: str = "tunesmith"
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Job:
        """Return the job that a file holds."""
        return cls(**json.loads(path.read_text("utf-8")))

    def write(self, path: Path) -> None:
        """Write the job into a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @property
    def bf16(self) -> bool:
        """Whether matrices are multiplied in bfloat16: on a GPU."""
        return self.device != "cpu"

    @cached_property
    def ids(self) -> Rows:
        """The rows as ids and labels."""
        return Rows(**json.loads(Path(self.rows).read_text("utf-8")))


@dataclass(frozen=True)
class Rows:
    """Rows as [ids, labels], the padding token, and orders (name -> row numbers) in which they may come."""

    rows: list[tuple[list[int], list[int]]]
    pad_id: int
    orders: dict[str, list[int]]

    def columns(self, order: str) -> dict[str, list[list[int]]]:
        """Return ids, labels and masks of all rows in an order, as columns of a data set."""
        chosen = [self.rows[number] for number in self.orders[order]]
        return {
            "input_ids": [ids for ids, _ in chosen],
            "labels": [labels for _, labels in chosen],
            "attention_mask": [[1] * len(ids) for ids, _ in chosen],
        }

    def labels(self, number: int) -> int:
        """Return how many labels of a row are learned: its first token is predicted by nothing."""
        return sum(label != -100 for label in self.rows[number][1][1:])
