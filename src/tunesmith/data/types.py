"""The types that a training sample passes through, in order. Read this first.

record -> Conversation -> Example -> Batch
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import torch

IGNORE = -100
"""The label of a token that nobody learns from (PyTorch's own `ignore_index`)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a record stands: file, 0-based record number, 1-based line (None where the container has no lines)."""

    file: str
    record: int
    line: int | None = None

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line is not None else ""
        return f"{self.file}, record {self.record}{line}"


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: who speaks (`system`, `user`, `assistant`, `tool`), the text, and whether an answer is learned."""

    role: str
    content: str
    train: bool = True


@dataclass(frozen=True, slots=True)
class Conversation:
    """One record, whatever format it came in."""

    messages: tuple[Message, ...]
    origin: Origin | None = None


@dataclass(slots=True)
class Example:
    """One conversation as token ids.

    `labels` is aligned with `input_ids`: `labels[t]` is what position t-1 must predict, or IGNORE. A label may differ
    from the input at its place: where a turn's end is taught without a token in the history, the label is the stop
    token while the input goes on. `cut` counts the tokens that did not fit into `max_length`.
    """

    input_ids: list[int]
    labels: list[int]
    origin: Origin | None = None
    cut: int = 0
    stops: list[int] = field(default_factory=list)
    """Positions whose label is a stop token."""

    @property
    def label_count(self) -> int:
        """How many positions are learned from."""
        return sum(label != IGNORE for label in self.labels)


class Batch(TypedDict, total=False):
    """Exactly the arguments of the model's forward: each (B, T) int64; mask 1 = token, 0 = padding."""

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
