"""The objective: model + head + loss as one module, so that whatever wraps it (DDP, ...) sees one forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..errors import SelfTestError
from ..ops.loss import IGNORE, label_loss, plain_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..models.family import Family


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

    @property
    def config(self) -> Any:
        """The model's config."""
        return self.model.config

    @property
    def inner(self) -> PreTrainedModel:
        """The transformers model inside PEFT's wrapper, adapters included."""
        get_base_model = getattr(self.model, "get_base_model", None)
        return get_base_model() if get_base_model is not None else self.model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """Return the float32 sum over the labels; input_ids, attention_mask and labels are (B, T) int64."""
        inner, head = self.inner, self.head
        if head is None:
            logits = inner(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits
            return plain_loss(logits, labels)
        decoder = inner.get_decoder()
        hidden = decoder(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)[0]
        learning = [parameter for parameter in head.module.parameters() if parameter.requires_grad]
        return label_loss(hidden, labels, head, learning)

    def reference(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
        """Return the same sum the plain way: one row at a time, without padding, through the model's own logits."""
        total = torch.zeros((), dtype=torch.float64)
        for row_ids, row_mask, row_labels in zip(input_ids, attention_mask.bool(), labels, strict=True):
            logits = self.inner(input_ids=row_ids[row_mask][None], use_cache=False).logits
            total += plain_loss(logits, row_labels[row_mask][None]).double().cpu()
        return total


def trainable_state(objective: nn.Module) -> dict[str, Tensor]:
    """Return the parameters that learn, by name, each once (a tied matrix has one name)."""
    return {
        name.removeprefix("model."): parameter.detach()
        for name, parameter in objective.named_parameters()
        if parameter.requires_grad
    }


def self_test(objective: Objective, batch: dict[str, Tensor], tolerance: float) -> tuple[float, float]:
    """Compare the training path with the plain one on a batch, without dropout; return both mean losses.

    Raises:
        SelfTestError: they differ by more than `tolerance` (relative), or one is not a number.
    """
    was_training = objective.training
    objective.eval()
    with torch.no_grad():
        fast = objective(**batch).double().cpu()
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
