"""The types that a training sample passes through, in order. Read this first.

record -> Conversation -> Example (-> Pack) -> Batch
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
    """One turn: who speaks (`system`, `user`, `assistant`, `tool`), the text, and whether an answer is learned.

    `calls`: the tools that an assistant's message calls, as a JSON text: `{"name": ..., "arguments": {...}}` or a list
    of these; empty where it calls none. `content` may then be empty.
    """

    role: str
    content: str
    train: bool = True
    calls: str = ""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """A picture of a conversation: the text in a message that stands for it, and its file.

    `mark` occurs exactly once in the contents of the conversation; `path` is absolute, or relative to where the
    program runs, no longer to the data file. `written`: what the record says, in its field `field`; both are empty
    where there is no record.
    """

    mark: str
    path: str
    written: str = field(default="", compare=False)
    field: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Conversation:
    """One record, whatever format it came in.

    `text`: a plain text that is learned whole, without any chat layout; `messages` is then empty.
    `tools`: descriptions of the tools that may be called, as the text of a JSON list; empty where there are none.
    `rejected`: preference data: the worse answer in place of the last message. `liked`: preference data of single
    answers: whether the last message is a good one. None stands for data that is not preference data.
    """

    messages: tuple[Message, ...]
    origin: Origin | None = None
    text: str | None = None
    tools: str = ""
    images: tuple[ImageRef, ...] = ()
    rejected: Message | None = None
    liked: bool | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a row: its file, and the stretches (first, behind the last) of its slots, one for each slice."""

    path: str
    slots: tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Example:
    """One conversation as token ids.

    `labels` is aligned with `input_ids`: `labels[t]` is what position t-1 must predict, or IGNORE. A label may differ
    from the input at its place: where a turn's end is taught without a token in the history, the label is the stop
    token while the input goes on. `cut` counts the tokens that did not fit into `max_length`, `cut_labels` those that
    were to be learned.
    """

    input_ids: list[int]
    labels: list[int]
    origin: Origin | None = None
    cut: int = 0
    stops: list[int] = field(default_factory=list)
    """Positions whose label is a stop token."""
    cut_labels: int = 0
    weight: float = 1.0
    """What the loss of each label is multiplied by."""
    pictures: tuple[Picture, ...] = ()
    """In the order in which they stand in the row."""
    second: int = 0
    """Where the second of two answers begins, with its prompt: ids and labels hold two rows (`preferences.py`). 0: one row."""
    liked: bool = True
    """Whether the (first) answer is a good one."""
    reference: tuple[float, float] | None = None
    """The log-probabilities that the model gave to both answers before training."""

    @property
    def label_count(self) -> int:
        """How many positions are learned from."""
        return len(self.labels) - self.labels.count(IGNORE)


@dataclass(frozen=True, slots=True)
class Pack:
    """Examples that share a row; each is a segment of it, and segments never see each other."""

    examples: tuple[Example, ...]


class Batch(TypedDict, total=False):
    """Exactly the arguments of the training objective's forward: each (B, T), int64 but for `weights` and `tree`.

    `attention_mask`: 0 = padding; otherwise the number of the segment that a token belongs to, counted from 1 in each
    row. Rows of one example hold 0 and 1. `position_ids`: only where rows are packs; begin again at 0 in each segment
    (0 on padding). `weights`: float32, what the loss of each label is multiplied by; only where one is not 1.
    Of P examples with two answers, each half is a row, or a segment, of its own, the second behind the first:
    `reference_logps`: float32 (P, 2), where they are known; `liked`: bool (P,).
    `places`: int64, where in a forest of the batch's tokens each token stands, those that begin rows alike in one place
    (0 on padding); `tree`: the forest as (parent, length, count), see `ops/tree.py`. Only where rows share tokens.
    `pixel_values`: a list of float32 (3, h, w), every slice of every picture in order; `image_bound`: int64 (n, 3), for
    each of them its row and the stretch of its slots there. Only where there are pictures.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    weights: torch.Tensor
    reference_logps: torch.Tensor
    liked: torch.Tensor
    places: torch.Tensor
    tree: list[tuple[int, int, int]]
    pixel_values: list[torch.Tensor]
    image_bound: torch.Tensor
