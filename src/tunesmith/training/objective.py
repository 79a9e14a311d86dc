"""The objective: model + head + loss as one module, so that whatever wraps it (DDP, ...) sees one forward."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import SelfTestError
from ..models.segments import packed_inputs
from ..models.tree import tree_inputs
from ..ops.loss import IGNORE, at_least_float32, label_loss, plain_loss
from ..ops.matrix_loss import MatrixSum, chunked_sum, matrix_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..models.family import Family

PICTURES = ("pixel_values", "image_bound")
"""The names of a batch's pictures and of their places, for models that see (`models/minicpmv.py`)."""
FOREST = ("places", "tree")
"""The names of what says that rows share tokens (`models/tree.py`)."""


class Objective(nn.Module):
    """Sum of the next-token cross entropy over the labels of a batch.

    With a known head, only positions with a label reach the output matrix and the logits are never held; without
    one (`head` None), the model's own logits are used.
    """

    accepts_loss_kwargs = True
    """Tells HF's Trainer that the loss is divided by the label count of the whole step, not averaged per batch."""

    def __init__(self, model: PreTrainedModel, family: Family) -> None:
        super().__init__()
        self.model = model
        self.head = family.head(self.inner)
        self.matrix_sum: MatrixSum = chunked_sum
        """What sums the loss where the head is one matrix (`loss_choice.py`)."""
        self.measures: dict[str, Tensor] = {}
        """What is to be logged beside the loss: name -> (sum, count), since it was taken last."""

    @property
    def config(self) -> Any:
        """The model's config."""
        return self.model.config

    @property
    def inner(self) -> PreTrainedModel:
        """The transformers model inside PEFT's wrapper, adapters included."""
        get_base_model = getattr(self.model, "get_base_model", None)
        return get_base_model() if get_base_model is not None else self.model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        position_ids: Tensor | None = None,
        weights: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        """Return the float32 sum over the labels; the arguments are those of a `Batch`, each (B, T).

        With `position_ids` the rows are packed and attention_mask numbers their segments, which do not see each other.
        `weights` multiply the loss of each label; what the sum is divided by later, the count of labels, stays the
        same: a weight of 2 doubles what a row contributes and takes nothing from the others. `more`: pixel_values and
        image_bound, for models that see; places and tree, where tokens that rows share are computed once.
        """
        states, places = self.states(input_ids, attention_mask, position_ids, **more), more.get("places")
        if self.head is None:
            return (
                plain_loss(states, labels, weights)
                if places is None
                else label_loss(states, labels, at_least_float32, (), weights, places)
            )
        if (matrix := self.head.matrix) is not None:
            return matrix_loss(states, labels, matrix, self.matrix_sum, weights, places)
        learning = [parameter for parameter in self.head.module.parameters() if parameter.requires_grad]
        return label_loss(states, labels, self.head, learning, weights, places)

    def states(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor | None = None, **more: Any
    ) -> Tensor:
        """Return the hidden states (B, T, D) that go into the head; without a known head, the logits (B, T, V).

        With a tree these are the states of its tokens, (1, N, D) or (1, N, V).
        """
        inner = self.inner
        inputs: dict[str, Any] = {"attention_mask": attention_mask}
        if position_ids is not None:
            inputs = packed_inputs(inner, attention_mask, position_ids)
        pictures = {name: value for name, value in more.items() if name not in FOREST}
        inputs = {"input_ids": input_ids, **inputs, **_checked(pictures, inner)}
        if "tree" in more:
            inputs = tree_inputs(more["tree"], more["places"], {**inputs, "attention_mask": attention_mask})
        if self.head is None:
            logits: Tensor = inner(use_cache=False, **inputs).logits
            return logits
        hidden: Tensor = inner.get_decoder()(use_cache=False, **inputs)[0]
        return hidden

    def count(self, batch: Any) -> int:
        """Return what the sum over a batch is to be divided by: the number of its labels."""
        return int((batch["labels"][:, 1:] != IGNORE).sum())

    def summed(self, **batch: Any) -> Tensor:
        """Return the sum over all labels, on the path of training."""
        loss: Tensor = self(**batch)
        return loss

    def reference(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        labels: Tensor,
        position_ids: Tensor | None = None,
        weights: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        """Return the same sum the plain way: each segment alone, without padding, through the model's own logits."""
        total = torch.zeros((), dtype=torch.float64)
        pictures = {name: more[name] for name in PICTURES if name in more}
        for row, segments in enumerate(attention_mask):
            for number in range(1, int(segments.max()) + 1):
                here = segments == number
                own = _pictures_of(row, here, **pictures) if pictures else {}
                logits = self.inner(input_ids=input_ids[row, here][None], use_cache=False, **own).logits
                weights_BT = None if weights is None else weights[row, here][None]
                total += plain_loss(logits, labels[row, here][None], weights_BT).double().cpu()
        return total


def _checked(pictures: dict[str, Any], model: PreTrainedModel) -> dict[str, Any]:
    """Return the pictures of a batch; a model that would leave them unseen without a word is an error."""
    known = inspect.signature(model.forward).parameters if pictures else {}
    if unknown := sorted({*pictures} - ({*PICTURES} & {*known})):
        raise TypeError(f"{type(model).__name__} takes no {', '.join(unknown)}.")
    return pictures


def _pictures_of(row: int, here_T: Tensor, pixel_values: Sequence[Tensor], image_bound: Tensor) -> dict[str, Any]:
    """Return the pictures inside a segment, its tokens being where here_T is True; positions count from its start."""
    start, length = int(here_T.nonzero()[0]), int(here_T.sum())
    first_N, end_N = (image_bound[:, 1:] - start).unbind(1)
    mine_N = (image_bound[:, 0] == row) & (first_N >= 0) & (end_N <= length)
    if not mine_N.any():
        return {}
    bounds = torch.stack((torch.zeros_like(first_N), first_N, end_N), dim=1)[mine_N]
    return {"pixel_values": [pixel_values[n] for n in mine_N.nonzero().flatten().tolist()], "image_bound": bounds}


def trainable_state(objective: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that learn, by name, each once (a tied matrix has one name)."""
    return {
        name.removeprefix("model."): parameter.detach()
        for name, parameter in objective.named_parameters()
        if parameter.requires_grad
    }


def self_test(objective: Objective, batch: dict[str, Any], tolerance: float) -> tuple[float, float]:
    """Compare the training path with the plain one on a batch, without dropout; return both mean losses.

    Raises:
        SelfTestError: they differ by more than `tolerance` (relative), or one is not a number.
    """
    was_training = objective.training
    objective.eval()
    with torch.no_grad():
        fast = objective.summed(**batch).double().cpu()
        plain = objective.reference(**batch)
    objective.train(was_training)
    count = int((batch["labels"][:, 1:] != IGNORE).sum())
    fast_mean, plain_mean = float(fast) / count, float(plain) / count
    if not abs(fast_mean - plain_mean) <= tolerance * max(1.0, abs(plain_mean)):
        raise SelfTestError(
            f"Start-up self-test: the training path gives the loss {fast_mean:.6f} and the plain reference "
            f"{plain_mean:.6f} on the same rows (allowed: {tolerance:g} relative). Training would compute a wrong "
            "loss, so it does not start. Please report this with the model's config.json."
        )
    return fast_mean, plain_mean
