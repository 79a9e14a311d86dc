"""How likely a model finds texts: the log-probability of every label, without the logits of a whole batch.

The path is that of training: hidden states, and the family's head at the labels alone (`ops.loss`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..data.collate import PictureLoader, collate
from ..data.types import IGNORE, Batch, Example, Pack
from ..models.load import Loaded, text_tokenizer
from ..models.segments import UNFIT, packed_inputs
from ..ops.loss import at_least_float32, label_logps, labelled

_log = logging.getLogger("tunesmith")
_ROWS = 256  # of logits at once
_CLOSE = 1e-3  # relative; in 16 bits twenty times as much


class Likelihood:
    """A loaded model as something that says how likely texts are."""

    def __init__(self, loaded: Loaded) -> None:
        model: Any = loaded.model
        self.inner: Any = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.head = loaded.family.head(self.inner)
        self.tokenizer = text_tokenizer(loaded.tokenizer)
        self.chat = loaded.family.chat(self.tokenizer, self.inner.config.to_dict())
        slicing = getattr(self.chat, "slicing", None)
        self._loader = PictureLoader(slicing) if slicing is not None else None
        self._shares: bool | None = None

    @torch.no_grad()
    def logps(self, items: Sequence[Example | Pack]) -> list[Tensor]:
        """Return for each example, pack by pack, the log-probabilities of its labels, on the CPU in float64."""
        batch = self._batch(items)
        inputs: dict[str, Any] = {"attention_mask": batch["attention_mask"]}
        if "position_ids" in batch:
            inputs = packed_inputs(self.inner, batch["attention_mask"], batch["position_ids"])
        states_BTD, _ = self._states(batch["input_ids"], **inputs, **_pictures(batch))
        examples = [one for item in items for one in (item.examples if isinstance(item, Pack) else (item,))]
        return self._split(states_BTD, batch["labels"], examples)

    @torch.no_grad()
    def logps_and_hits(self, examples: Sequence[Example]) -> list[tuple[Tensor, Tensor]]:
        """Return for each example the log-probabilities of its labels (float64) and whether each is the likeliest token."""
        batch = self._batch(examples)
        states_BTD, _ = self._states(batch["input_ids"], attention_mask=batch["attention_mask"], **_pictures(batch))
        states_ND, labels_N = labelled(states_BTD, batch["labels"])
        head = self.head or at_least_float32
        logps, hits = [], []
        for states, labels in zip(states_ND.split(_ROWS), labels_N.split(_ROWS), strict=True):
            logits = head(states)
            logps.append(-torch.nn.functional.cross_entropy(logits, labels, reduction="none"))
            hits.append(logits.argmax(-1) == labels)
        counts = [_labels(one) for one in examples]
        split = (torch.cat(found).cpu().split(counts) for found in (logps, hits))
        return [(logp.double(), hit) for logp, hit in zip(*split, strict=True)]

    @torch.no_grad()
    def groups(self, groups: Sequence[Sequence[Example]]) -> list[list[Tensor]]:
        """Return the same for groups of rows that begin alike: what they share is computed once, through the cache.

        Whether the model gives the same numbers that way is tried once, on the first rows; if not, it is left.
        """
        if self._shares is None:
            plain = self.logps([groups[0][0]])[0]
            try:
                cached = self._behind_shared(groups[:1])[0][0]
            except UNFIT as error:  # a cache of its own kind
                _log.warning(
                    "%s cannot go on from its cache (%s: %s), so each row reads its prompt itself: slower, the same numbers.",
                    type(self.inner).__name__,
                    type(error).__name__,
                    error,
                )
                cached = torch.full_like(plain, torch.nan)
            close = _CLOSE if self.inner.dtype in (torch.float32, torch.float64) else 20 * _CLOSE
            self._shares = bool(((plain - cached).abs() <= close * plain.abs().clamp(min=1)).all())
        if self._shares:
            return self._behind_shared(groups)
        flat = iter(self.logps([row for rows in groups for row in rows]))
        return [[next(flat) for _ in rows] for rows in groups]

    def _behind_shared(self, groups: Sequence[Sequence[Example]]) -> list[list[Tensor]]:
        """Send what the rows of each group share through the model, padded at the left, then each row's own end."""
        shared = [_shared(rows) for rows in groups]
        ends = [
            Example(row.input_ids[start:], row.labels[start:])
            for rows, start in zip(groups, shared, strict=True)
            for row in rows
        ]
        device = self.inner.device
        owner = torch.tensor([n for n, rows in enumerate(groups) for _ in rows], device=device)
        start_B1 = torch.tensor(shared, device=device)[owner, None]
        cache, before_BT = None, torch.zeros(len(ends), 0, dtype=torch.int64, device=device)
        if length := max(shared):
            heads = [
                Example(rows[0].input_ids[:start], [IGNORE] * start, rows[0].origin, pictures=rows[0].pictures)
                for rows, start in zip(groups, shared, strict=True)
            ]
            batch = _to_the_right(self._batch(heads), [length - start for start in shared])
            mask_BT = batch["attention_mask"]
            positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
            _, cache = self._states(
                batch["input_ids"],
                attention_mask=mask_BT,
                position_ids=positions_BT,
                keep=True,
                **_pictures(batch),
            )
            cache.reorder_cache(owner)
            before_BT = mask_BT[owner]
        batch = self._batch(ends)
        positions_BT = start_B1 + torch.arange(batch["input_ids"].shape[1], device=device)
        states_BTD, _ = self._states(
            batch["input_ids"],
            attention_mask=torch.cat((before_BT, batch["attention_mask"]), dim=1),
            position_ids=positions_BT,
            past_key_values=cache,
            keep=cache is not None,
        )
        flat = iter(self._split(states_BTD, batch["labels"], ends))
        return [[next(flat) for _ in rows] for rows in groups]

    def _batch(self, items: Sequence[Example | Pack]) -> Batch:
        """Return the items as a batch on the model's device."""
        batch: Any = collate(items, self.tokenizer.pad_id, self._loader)
        device = self.inner.device
        for name, value in batch.items():
            batch[name] = value.to(device) if isinstance(value, Tensor) else [one.to(device) for one in value]
        moved: Batch = batch
        return moved

    def _states(self, input_ids: Tensor, keep: bool = False, **inputs: Any) -> tuple[Tensor, Any]:
        """Return what goes into the head (B, T, D), or without a known head the logits, and the cache if `keep`."""
        if self.head is None:
            output = self.inner(input_ids=input_ids, use_cache=keep, **inputs)
            return output.logits, output.past_key_values if keep else None
        output = self.inner.get_decoder()(input_ids=input_ids, use_cache=keep, **inputs)
        return output[0], output.past_key_values if keep else None

    def _split(self, states_BTD: Tensor, labels_BT: Tensor, examples: Sequence[Example]) -> list[Tensor]:
        logps_N = label_logps(states_BTD, labels_BT, self.head or at_least_float32).double().cpu()
        return list(logps_N.split([_labels(one) for one in examples]))


def batches(lengths: Sequence[int], tokens: int, alone_from: int | None = None) -> Iterator[list[int]]:
    """Yield numbers of rows, longest first, as many as fit into `tokens` with their padding, at least one.

    Rows longer than `alone_from` come alone: they change the positions of all rows beside them.
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        alone = alone_from is not None and batch and lengths[batch[0]] > alone_from
        if batch and (alone or lengths[batch[0]] * (len(batch) + 1) > tokens):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _labels(example: Example) -> int:
    """Return how many labels count; the first token of a row cannot be predicted."""
    return len(example.labels) - 1 - example.labels[1:].count(IGNORE)


def _shared(rows: Sequence[Example]) -> int:
    """Return how many tokens the rows begin with alike that none of them needs for its first label."""
    alike = len(os.path.commonprefix([row.input_ids for row in rows]))
    first = min(next(place for place, label in enumerate(row.labels) if label != IGNORE) for row in rows)
    return min(alike, first - 1)


def _to_the_right(batch: Batch, gaps: Sequence[int]) -> Batch:
    """Move the padding of each row (as many tokens as its gap) to the left, and the places of its pictures with it."""
    ids_BT, mask_BT = batch["input_ids"], batch["attention_mask"]
    for row, gap in enumerate(gaps):
        ids_BT[row], mask_BT[row] = ids_BT[row].roll(gap), mask_BT[row].roll(gap)
    if "image_bound" in batch:
        bound_N3 = batch["image_bound"].clone()
        bound_N3[:, 1:] += torch.tensor(gaps, device=bound_N3.device)[bound_N3[:, 0], None]
        batch["image_bound"] = bound_N3
    return batch


def _pictures(batch: Batch) -> dict[str, Any]:
    if "pixel_values" not in batch:
        return {}
    return {"pixel_values": batch["pixel_values"], "image_bound": batch["image_bound"]}
