"""The objective of preference tuning: whole answers are compared instead of tokens learned.

It is computed here and not by TRL's trainers, so that the rows, the head's scaling, the checkpoints and the round trip are
those of every other run; TRL's losses and gradients on the same rows are what the tests compare with.
"""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .. import lookup
from ..ops.loss import IGNORE, at_least_float32, label_logps
from ..ops.preference import Answers, Judged
from .distributed.ranks import Ranks
from .objective import Objective
from .settings import OBJECTIVES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..models.family import Family

CHOSEN, REJECTED, MARGIN, ACCURACY = "reward_chosen", "reward_rejected", "reward_margin", "reward_accuracy"
"""The names of what is logged; the margin is the difference of the first two."""
EXTRA = ("reference_logps", "liked")
"""What a batch of two answers each holds beside what the model takes."""


def objective_of(config: Any, model: PreTrainedModel, family: Family, ranks: Ranks) -> Objective:
    """Join a model with the objective of these settings."""
    method = lookup.find(OBJECTIVES, config.method)
    if not hasattr(method, "judge"):
        return Objective(model, family)
    return Preferences(model, family, method, config, ranks)


class Preferences(Objective):
    """Sum of a preference loss over the pairs, or judged answers, of a batch (P of them)."""

    def __init__(self, model: PreTrainedModel, family: Family, method: ModuleType, settings: Any, ranks: Ranks) -> None:
        super().__init__(model, family)
        self.method, self.settings, self.ranks = method, settings, ranks

    def forward(self, **batch: Any) -> Tensor:  # type: ignore[override]
        """Return the float32 sum over the pairs; the arguments are those of a `Batch` of pairs.

        Weights multiply the loss of a pair, and not the number that the sum is divided by.
        """
        logps_P2, counts_P2, weights_P = self.answers(**batch)
        there = counts_P2[:, 0] > 0  # a rank without a row has a pair without labels
        reference_P2 = batch["reference_logps"] if self.method.REFERENCE else torch.zeros_like(logps_P2)
        answers = Answers(logps_P2[there], counts_P2[there], reference_P2[there], batch["liked"][there])
        if self.method.ANSWERS == "judged":
            answers = replace(answers, baseline=self._baseline(answers))
        judged: Judged = self.method.judge(answers, self.settings)
        self._measure(judged)
        return (judged.losses_P * weights_P[there]).sum()

    def answers(self, **batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return of each pair the log-probabilities of both answers (P, 2), their label counts, and its weight (P,).

        The second one of judged answers has no gradient: only a baseline is made of it.
        """
        batch = {name: value for name, value in batch.items() if name not in EXTRA}
        if self.method.ANSWERS != "judged":
            logps_N, counts_N, weights_N = self._answers(**batch)
            return logps_N.view(-1, 2), counts_N.view(-1, 2), weights_N[::2]
        first, counts_P, weights_P = self._answers(**_every_other(batch, 0))
        with torch.no_grad():
            second, other_counts_P, _ = self._answers(**_every_other(batch, 1))
        return torch.stack((first, second), 1), torch.stack((counts_P, other_counts_P), 1), weights_P

    def summed(self, **batch: Any) -> Tensor:
        """Return the sum of the cross entropy over all labels, on the path of training."""
        batch = {name: value for name, value in batch.items() if name not in EXTRA}
        logps_N, keep_BT = self._label_logps(**batch)
        return -(logps_N if "weights" not in batch else logps_N * batch["weights"][:, 1:][keep_BT]).sum()

    def reference(self, **batch: Any) -> Tensor:  # type: ignore[override]
        """Return the same sum the plain way."""
        return super().reference(**{name: value for name, value in batch.items() if name not in EXTRA})

    def count(self, batch: Any) -> int:
        """Return the number of pairs, or of judged answers, in a batch."""
        members_BST = _members(batch["attention_mask"], batch["labels"])
        return int(members_BST.any(-1).sum()) // 2

    def _label_logps(self, labels: Tensor, weights: Tensor | None = None, **inputs: Any) -> tuple[Tensor, Tensor]:
        """Return the log-probability of each label (N,), and which places of (B, T - 1) these are."""
        states_BTD, head = self.states(**inputs), self.head or at_least_float32
        return label_logps(states_BTD, labels, head, inputs.get("places")), labels[:, 1:] != IGNORE

    def _answers(self, **batch: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Return log-probability, label count and weight of each segment, (N,), row by row."""
        mask_BT = batch["attention_mask"]
        members_BST = _members(mask_BT, batch["labels"])
        logps_N, keep_BT = self._label_logps(**batch)
        each_BT = logps_N.new_zeros(keep_BT.shape).masked_scatter(keep_BT, logps_N)
        numbers_S = torch.arange(1, members_BST.shape[1] + 1, device=mask_BT.device)
        there_BS = numbers_S <= mask_BT.amax(1, keepdim=True)
        logps_BS, counts_BS = (each_BT[:, None] * members_BST).sum(-1), members_BST.sum(-1)
        weights_BS = torch.ones_like(logps_BS)
        if "weights" in batch:
            weights_BS = (batch["weights"][:, None, 1:] * members_BST).amax(-1)
        return logps_BS[there_BS], counts_BS[there_BS], weights_BS[there_BS]

    def _baseline(self, answers: Answers) -> float:
        """Return KTO's baseline: the mean gain of the second answers, over all ranks, and at least 0."""
        gains_P = answers.gains_P2[:, 1].detach()
        total, count = self.ranks.total(float(gains_P.sum()), len(gains_P))
        return max(total / count, 0.0) if count else 0.0

    def _measure(self, judged: Judged) -> None:
        for name, values in ((CHOSEN, judged.chosen), (REJECTED, judged.rejected), (ACCURACY, judged.right)):
            own = torch.stack((values.sum(), values.new_tensor(float(len(values)))))
            self.measures[name] = own + self.measures[name] if name in self.measures else own


def _members(mask_BT: Tensor, labels_BT: Tensor) -> Tensor:
    """Return (B, S, T - 1): whether the label at a place, shifted as in the loss, belongs to segment S of its row."""
    numbers_S = torch.arange(1, int(mask_BT.max()) + 1, device=mask_BT.device)
    kept_BT = torch.where(labels_BT[:, 1:] != IGNORE, mask_BT[:, 1:], 0)
    return kept_BT[:, None, :] == numbers_S[:, None]


def _every_other(batch: dict[str, Any], start: int) -> dict[str, Any]:
    """Return rows start, start + 2 ... of a batch, with their pictures."""
    own = {name: value[start::2] for name, value in batch.items() if name not in ("pixel_values", "image_bound")}
    if "image_bound" in batch:
        bounds_N3 = batch["image_bound"]
        mine_N = bounds_N3[:, 0] % 2 == start
        own["pixel_values"] = [batch["pixel_values"][n] for n in mine_N.nonzero().flatten().tolist()]
        own["image_bound"] = torch.cat((bounds_N3[mine_N, :1] // 2, bounds_N3[mine_N, 1:]), dim=1)
    return own
