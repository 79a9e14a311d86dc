"""Examples -> Batch: rows filled up at the right to the longest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .types import IGNORE, Batch, Example


def collate(examples: Sequence[Example], pad_id: int) -> Batch:
    """Return the rows as (B, T) int64 tensors; T is the length of the longest row.

    Padding is `pad_id` with mask 0 and no label. The first position has no label either: nothing stands before it
    from which it could be predicted.
    """
    import torch

    shape = (len(examples), max(len(example.input_ids) for example in examples))
    ids_BT = torch.full(shape, pad_id, dtype=torch.int64)
    mask_BT = torch.zeros(shape, dtype=torch.int64)
    labels_BT = torch.full(shape, IGNORE, dtype=torch.int64)
    for row, example in enumerate(examples):
        length = len(example.input_ids)
        ids_BT[row, :length] = torch.tensor(example.input_ids)
        mask_BT[row, :length] = 1
        labels_BT[row, :length] = torch.tensor(example.labels)
    labels_BT[:, 0] = IGNORE
    return Batch(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT)


@dataclass(frozen=True)
class Collator:
    """`collate` with its padding token: what a DataLoader calls, in worker processes too."""

    pad_id: int

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Return the examples as one batch."""
        return collate(examples, self.pad_id)
