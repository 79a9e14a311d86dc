"""HF's Trainer, subclassed for what tunesmith promises: the order of rows, the loss, evaluation and checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer import TRAINER_STATE_NAME

from ..data.order import EpochOrder
from ..data.types import IGNORE
from ..errors import NonFiniteError, RunError
from ..runs import RunFolder, check_space
from . import checkpoint
from .objective import Objective, trainable_state

WEIGHTS = "weights.safetensors"


class TuneTrainer(Trainer):
    """Trains an `Objective`.

    Differences from HF's own: rows come in an order that follows from (seed, epoch) alone; the loss is a sum over
    the step's label tokens divided by their count; evaluation keeps two numbers, not logits; a loss or gradient that
    is not finite stops the run before the update; checkpoints are whole or not there.
    """

    optimizer: torch.optim.Optimizer | None
    control: Any

    def __init__(
        self, *, run: RunFolder, order: EpochOrder | None, keep: int, keep_best: bool, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self.run, self.order, self.keep, self.keep_best = run, order, keep, keep_best
        self.factors: dict[str, float] = {}
        """Learning-rate factors by parameter name (LoRA+)."""
        self.tokens_seen = 0

    # --- rows and loss -------------------------------------------------------------------------------------------

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochOrder | None:
        return self.order

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return this batch's share of the step's mean loss: sum over its labels / label count of the whole step.

        The count is that of the labels, whatever their weights.

        Raises:
            NonFiniteError: the loss is NaN or infinite.
        """
        loss = model(**inputs)
        if not torch.isfinite(loss):
            raise NonFiniteError(
                f"Step {self.state.global_step + 1}: the loss is {loss.item()}. The run stops before this update; the "
                "weights are those of the step before. Usual causes: a learning rate that is too high, float16, or "
                "a damaged checkpoint. Lower training.learning_rate or use bf16/fp32; the last checkpoint is good."
            )
        # Gradients are averaged over the ranks, so the sum is multiplied by their number.
        self.tokens_seen += int(inputs["attention_mask"].count_nonzero())
        return loss * (self.accelerator.num_processes / num_items_in_batch)

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        self._check_gradients()
        return super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        if grad_norm is None:  # clipping is switched off
            self._check_gradients()
        return super()._get_grad_norm(model, grad_norm=grad_norm)

    def _check_gradients(self) -> None:
        """Stop before clipping, which would spread one NaN over all gradients.

        Raises:
            NonFiniteError: a gradient is NaN or infinite.
        """
        if self.args.fp16:
            return  # with loss scaling an infinite gradient is an ordinary event: the scaler skips that step
        gradients = {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}
        if torch.isfinite(nn.utils.get_total_norm(gradients.values())):
            return
        names = [name for name, gradient in gradients.items() if not torch.isfinite(gradient).all()]
        first = names[0].removeprefix("model.") if names else "all parameters together"
        raise NonFiniteError(
            f"Step {self.state.global_step + 1}: the gradient of {first} is not finite ({len(names)} tensors in all). "
            "The run stops before this update; the weights are those of the step before. Lower "
            "training.learning_rate, or use another precision; the last checkpoint is good."
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Build AdamW over groups: with and without weight decay, each with its learning-rate factor (LoRA+)."""
        optimizer = self.optimizer
        if optimizer is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, self.model)
            decayed = set(self.get_decay_parameter_names(self.model))
            groups: dict[tuple[float, float], list[Tensor]] = {}
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad:
                    decay = self.args.weight_decay if name in decayed else 0.0
                    groups.setdefault((decay, self.factors.get(name, 1.0)), []).append(parameter)
            optimizer = self.optimizer = kind(
                [
                    {"params": parameters, "weight_decay": decay, "lr": self.args.learning_rate * factor}
                    for (decay, factor), parameters in groups.items()
                ],
                **options,
            )
        return optimizer

    # --- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Return the mean loss per label token over the validation rows, without weights; only two numbers are kept.

        Raises:
            RunError: it gives no number.
        """
        was_training = self.model.training
        self.model.eval()
        total, count = torch.zeros((), dtype=torch.float64), 0
        with torch.no_grad(), self.accelerator.autocast():
            for batch in self.get_eval_dataloader():
                batch = self._prepare_inputs(batch)
                batch.pop("weights", None)
                total += self.model(**batch).double().cpu()
                count += int((batch["labels"][:, 1:] != IGNORE).sum())
        self.model.train(was_training)
        loss = float(total) / count if count else math.nan
        if not math.isfinite(loss):
            raise RunError(
                f"Step {self.state.global_step}: evaluation gives no number (loss {loss}, {count} label tokens). "
                "Check data.validation and the last training losses."
            )
        metrics = {f"{metric_key_prefix}_loss": loss}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        best = self.state.best_metric is None or metrics["eval_loss"] < self.state.best_metric
        if best and self.state.global_step:
            self.state.best_metric, self.state.best_global_step = metrics["eval_loss"], self.state.global_step
            if self.keep_best:
                self.control.should_save = True
        return best

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        state = trainable_state(self.model)
        # weights and two AdamW moments, all in the dtype of the weights
        check_space(self.run.path, 3 * sum(t.numel() * t.element_size() for t in state.values()), "a checkpoint")

        def fill(folder: Path) -> None:
            save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / WEIGHTS)
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
            self.state.save_to_json(str(folder / TRAINER_STATE_NAME))

        parent = self.run.checkpoints
        checkpoint.write(parent, checkpoint.folder_name(self.state.global_step), fill)
        best = {self.state.best_global_step} if self.keep_best and self.state.best_global_step else set()
        checkpoint.prune(parent, self.keep, protect=best)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_trainable(self.model, Path(resume_from_checkpoint))


def load_trainable(objective: Objective | nn.Module, folder: Path) -> None:
    """Copy the weights of a checkpoint into the parameters that learn; every name and shape must fit.

    Raises:
        RunError: the checkpoint is of another model or tuning.
    """
    stored, wanted = load_file(folder / WEIGHTS), trainable_state(objective)
    if {name: t.shape for name, t in stored.items()} != {name: t.shape for name, t in wanted.items()}:
        raise RunError(
            f"The checkpoint '{folder}' holds other parameters than this run trains. Was the model or tuning changed? "
            "Put it back, or start again with training.resume=never."
        )
    with torch.no_grad():
        for name, parameter in wanted.items():
            parameter.copy_(stored[name])
