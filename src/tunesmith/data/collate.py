"""Examples or packs -> Batch: rows filled up at the right to the longest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .types import IGNORE, Batch, Example, Pack


def collate(items: Sequence[Example | Pack], pad_id: int) -> Batch:
    """Return the rows as (B, T) tensors; T is the length of the longest row.

    Padding is `pad_id` with mask 0 and no label. The first position of an example has no label either: nothing stands
    before it from which it could be predicted. With packs among the items the mask numbers the segments of a row, and
    `position_ids` begin again with each; on padding they are 0, so that it makes no sequence look longer than it is.
    """
    import torch

    rows = [item.examples if isinstance(item, Pack) else (item,) for item in items]
    shape = (len(rows), max(sum(len(example.input_ids) for example in row) for row in rows))
    ids_BT = torch.full(shape, pad_id, dtype=torch.int64)
    mask_BT = torch.zeros(shape, dtype=torch.int64)
    labels_BT = torch.full(shape, IGNORE, dtype=torch.int64)
    positions_BT = torch.zeros(shape, dtype=torch.int64)
    weights_BT = torch.zeros(shape)
    for number, row in enumerate(rows):
        start = 0
        for segment, example in enumerate(row, start=1):
            end = start + len(example.input_ids)
            place = (number, slice(start, end))
            ids_BT[place] = torch.tensor(example.input_ids)
            mask_BT[place] = segment
            labels_BT[place] = torch.tensor(example.labels)
            labels_BT[number, start] = IGNORE
            positions_BT[place] = torch.arange(end - start)
            weights_BT[place] = example.weight
            start = end
    batch = Batch(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT)
    if any(isinstance(item, Pack) for item in items):
        batch["position_ids"] = positions_BT
    if any(example.weight != 1.0 for row in rows for example in row):
        batch["weights"] = weights_BT
    return batch


@dataclass(frozen=True)
class Collator:
    """`collate` with its padding token: what a DataLoader calls, in worker processes too."""

    pad_id: int

    def __call__(self, items: Sequence[Example | Pack]) -> Batch:
        """Return the items as one batch."""
        return collate(items, self.pad_id)
