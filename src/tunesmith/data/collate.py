"""Examples or packs -> Batch: rows filled up at the right to the longest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import DataError, PictureError
from .preferences import halves
from .prefixes import tree_of
from .slicing import Slicing
from .types import IGNORE, Batch, Example, Pack

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PictureLoader:
    """Opens the pictures of a row when it is needed, and cuts them as the model wants them."""

    slicing: Slicing

    def load(self, example: Example) -> tuple[list[Tensor], list[tuple[int, int]]]:
        """Return the slices of all pictures, float32 (3, h, w), and the stretch of slots of each.

        Raises:
            DataError: a picture cannot be opened any more, or is another one now.
        """
        pixels: list[Tensor] = []
        slots: list[tuple[int, int]] = []
        for picture in example.pictures:
            try:
                cut = self.pixels(picture.path)
            except PictureError as error:
                raise DataError(
                    f"{example.origin or 'conversation'}: the picture '{picture.path}' {error.reason} {error.mend}"
                ) from None
            if len(cut) != len(picture.slots):
                raise DataError(
                    f"{example.origin or 'conversation'}: the picture '{picture.path}' has changed since the data was prepared. Put it "
                    "back, or start the run anew."
                )
            pixels += cut
            slots += picture.slots
        return pixels, slots

    def pixels(self, path: str) -> list[Tensor]:
        """Return the slices of a picture, float32 (3, h, w).

        Raises:
            PictureError: it cannot be opened.
        """
        import torch

        from .images import normalise, open_picture, slices

        return [torch.from_numpy(normalise(one)) for one in slices(open_picture(path), self.slicing)]


def collate(
    items: Sequence[Example | Pack], pad_id: int, loader: PictureLoader | None = None, share: bool = False
) -> Batch:
    """Return the rows as (B, T) tensors; T is the length of the longest row.

    Padding is `pad_id` with mask 0 and no label. The first position of an example has no label either: nothing stands
    before it from which it could be predicted. With packs among the items the mask numbers the segments of a row, and
    `position_ids` begin again with each; on padding they are 0, so that it makes no sequence look longer than it is.
    Pictures are opened by `loader`. Of an example with two answers each half becomes a row, or a segment of a pack, the
    second right behind the first. `share`: what rows share at their beginning gets one place (`Batch.places`).
    """
    import torch

    examples = [example for item in items for example in (item.examples if isinstance(item, Pack) else (item,))]
    rows = [row for item in items for row in _rows(item)]
    shape = (len(rows), max(sum(len(example.input_ids) for example in row) for row in rows))
    ids_BT = torch.full(shape, pad_id, dtype=torch.int64)
    mask_BT = torch.zeros(shape, dtype=torch.int64)
    labels_BT = torch.full(shape, IGNORE, dtype=torch.int64)
    positions_BT = torch.zeros(shape, dtype=torch.int64)
    weights_BT = torch.zeros(shape)
    pixels: list[Tensor] = []
    opened: dict[str, list[Tensor]] = {}
    stretches: list[tuple[int, int, int]] = []
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
            if loader is not None:
                for picture in example.pictures:
                    if picture.path not in opened:  # the same tensors for all rows that show it: looked at once
                        opened[picture.path] = loader.load(replace(example, pictures=(picture,)))[0]
                    pixels += opened[picture.path]
                    stretches += [(number, start + first, start + last) for first, last in picture.slots]
            start = end
    batch = Batch(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT)
    if any(isinstance(item, Pack) for item in items):
        batch["position_ids"] = positions_BT
    if any(example.weight != 1.0 for row in rows for example in row):
        batch["weights"] = weights_BT
    if any(example.second for example in examples):
        batch["liked"] = torch.tensor([example.liked for example in examples])
        known = [example.reference for example in examples if example.reference is not None]
        if len(known) == len(examples):
            batch["reference_logps"] = torch.tensor(known, dtype=torch.float32)
    if share:
        _share(batch, rows)
    if pixels:
        batch["pixel_values"], batch["image_bound"] = pixels, torch.tensor(stretches)
    return batch


def _share(batch: Batch, rows: Sequence[Sequence[Example]]) -> None:
    """Add the forest of these rows to their batch, unless it is one run: then nothing would be saved."""
    import torch

    tree = tree_of([example for row in rows for example in row])
    if len(tree.runs) == 1:
        return
    places, batch["tree"] = iter(tree.places), tree.runs
    batch["places"] = torch.zeros_like(batch["input_ids"])
    for number, row in enumerate(rows):
        joined = torch.cat([torch.from_numpy(next(places)) for _ in row])
        batch["places"][number, : len(joined)] = joined


def _rows(item: Example | Pack) -> list[tuple[Example, ...]]:
    """Return the rows of an item, each with its segments."""
    if isinstance(item, Pack):
        return [tuple(half for example in item.examples for half in halves(example))]
    return [(half,) for half in halves(item)]


@dataclass(frozen=True)
class Collator:
    """`collate` with its padding token and what opens pictures: what a DataLoader calls, in worker processes too.

    `pairs`: whether every example has two answers. `share`: whether tokens that rows share are computed once.
    """

    pad_id: int
    loader: PictureLoader | None = None
    pairs: bool = False
    share: bool = False

    def __call__(self, items: Sequence[Example | Pack]) -> Batch:
        """Return the items as one batch; of no items, a batch without labels, for a rank that has no row left."""
        nothing = Example([self.pad_id] * 2, [IGNORE] * 2)
        if self.pairs:
            nothing = Example([self.pad_id] * 4, [IGNORE] * 4, second=2, reference=(0.0, 0.0))
        return collate(items or [nothing], self.pad_id, self.loader, self.share)
