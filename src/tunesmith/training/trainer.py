"""HF's Trainer, subclassed for what tunesmith promises: the order of rows, the loss, evaluation and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME, TRAINER_STATE_NAME

from ..data.order import Deal, EpochOrder
from ..errors import ConfigError, NonFiniteError, RunError
from ..runs import RunFolder, check_space
from . import checkpoint
from .distributed.ranks import Ranks
from .distributed.sharing import Whole, whole
from .in_backward import StepInBackward
from .loader import EpochLoader, Waits, loader_options
from .objective import Objective, trainable_state
from .optimizers import Learner, learners
from .preferences import CHOSEN, MARGIN, REJECTED

WEIGHTS, RANDOM = "weights.safetensors", "random.pt"


class TuneTrainer(Trainer):
    """Trains an `Objective`.

    Differences from HF's own: rows come in an order that follows from (seed, epoch) alone; the loss is a sum over
    the step's label tokens divided by their count; evaluation keeps two numbers, not logits; a loss or gradient that
    is not finite stops the run before the update; checkpoints are whole or not there, and the same over any number of
    ranks. `form` is how the model lies on these.
    """

    optimizer: torch.optim.Optimizer | None
    control: Any

    def __init__(
        self,
        *,
        run: RunFolder,
        order: EpochOrder | None,
        keep: int,
        keep_best: bool,
        make_optimizer: Callable[[Sequence[Learner]], torch.optim.Optimizer],
        form: Whole,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self.form = form
        self.resume_from: Path | None = None
        """The checkpoint that the model was built with."""
        self.groups: list[list[nn.Parameter]] = []
        """What the optimiser was built over."""
        self.run, self.order, self.keep, self.keep_best = run, order, keep, keep_best
        self.make_optimizer = make_optimizer
        self.factors: dict[str, float] = {}
        """Learning-rate factors by parameter name (LoRA+)."""
        self.step_in_backward = False
        """Whether the optimiser steps inside the backward pass; `in_backward` does so once training has begun."""
        self.in_backward: StepInBackward | None = None
        self.offload: Any = nullcontext()
        """Where the forward pass leaves its activations."""
        self.tokens_seen = 0
        self.waits = Waits()
        self._losses: list[Tensor] = []
        """Of the batches of this optimiser step, not yet looked at: each look waits for the GPU."""

    @property
    def ranks(self) -> Ranks:
        """The processes of this run."""
        return self.form.ranks

    # --- rows and loss -------------------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the batches of this rank."""
        return self._loader(self.train_dataset, self.order, self.args.per_device_train_batch_size)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return this rank's batches of the validation rows."""
        return self._loader(self.eval_dataset, range(len(self.eval_dataset)), self.args.per_device_eval_batch_size)

    def let_go(self) -> None:
        """Let go of the training batches, whose processes end with them."""
        self.callback_handler.train_dataloader = None

    def _loader(self, items: Any, order: EpochOrder | range | None, batch_size: int) -> EpochLoader:
        step_batches = self.args.gradient_accumulation_steps
        options = loader_options(self.args.dataloader_num_workers, step_batches, self.args.dataloader_pin_memory)
        options["collate_fn"] = self.data_collator
        if order is None:  # a stream deals by itself
            return EpochLoader(items, batch_size=batch_size, **options)
        deal = Deal(order, batch_size, self.ranks.rank, self.ranks.world)
        return EpochLoader(items, batch_sampler=deal, **options)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """Return the next optimiser step's batches, still in main memory, and what its loss is divided by."""
        batches, count = super().get_batch_samples(self.waits.watching(epoch_iterator), num_batches, device)
        self.tokens_seen += sum(int(batch["attention_mask"].count_nonzero()) for batch in batches)
        return batches, count

    def _prepare_input(self, data: Any) -> Any:
        """Move a batch to the device; the host does not wait for it."""
        if isinstance(data, Tensor):
            data = data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)

    def _wrap_model(self, model: nn.Module, training: bool = True, dataloader: Any = None) -> nn.Module:
        return self.form.wrapped(model, self.accelerator.autocast)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        """Return this batch's share of the step's mean loss: sum over its labels / label count of the whole step.

        The count is that of the labels, whatever their weights.

        Raises:
            NonFiniteError: a loss of this step is NaN or infinite, and the backward pass would update with it.
        """
        with self.offload:
            loss = model(**inputs)
        self._losses.append(loss.detach())
        if (self.step_in_backward or self.is_deepspeed_enabled) and self.accelerator.sync_gradients:
            self._check_losses(torch.stack(self._losses).tolist())
        # Gradients are averaged over the ranks, so the sum is multiplied by their number.
        return loss * (self.accelerator.num_processes / num_items_in_batch)

    def _check_losses(self, losses: list[float]) -> None:
        """Stop on all ranks if a loss of this optimiser step is not finite on any.

        Raises:
            NonFiniteError: it is so.
        """
        self._losses.clear()
        bad = [loss for loss in losses if not math.isfinite(loss)]
        if self.ranks.most(bool(bad)):
            what = f"the loss is {bad[0]}" if bad else "the loss of another rank is not finite"
            raise NonFiniteError(
                f"Step {self.state.global_step + 1}: {what}. The run stops before this update; the "
                "weights are those of the step before. Usual causes: a learning rate that is too high, float16, or "
                "a damaged checkpoint. Lower training.learning_rate or use bf16/fp32; the last checkpoint is good."
            )

    def _get_num_items_in_batch(self, batch_samples: list[Any], device: torch.device) -> Tensor:
        """Return what the loss of the step is divided by, over all its batches and ranks: labels, or pairs."""
        own = sum(self.model.count(batch) for batch in batch_samples)
        return torch.tensor(round(self.ranks.total(own)[0]))  # on the CPU: to make it on a GPU would wait for that

    def log(self, logs: dict[str, float], *more: Any, **named: Any) -> None:
        """Log, and with a loss what the objective measured since the last one."""
        if "loss" in logs:
            logs.update(self._measured())
            self.model.measures.clear()
        super().log(logs, *more, **named)

    def _measured(self) -> dict[str, float]:
        """Return the means of what the objective measured, over all ranks; a mean of nothing is left out."""
        measures = self.model.measures
        sums = iter(self.ranks.total(*(float(number) for pair in measures.values() for number in pair)))
        means = {name: (next(sums), next(sums)) for name in measures}
        found = {name: total / count for name, (total, count) in means.items() if count}
        if CHOSEN in found and REJECTED in found:
            found[MARGIN] = found[CHOSEN] - found[REJECTED]
        return found

    def _clip_grad_norm(self, model: nn.Module) -> Any:
        self._check_step()
        return super()._clip_grad_norm(model)

    def _get_grad_norm(self, model: nn.Module, grad_norm: Any = None) -> Any:
        if self.in_backward is not None:  # the gradients are gone; it has checked them
            return self.in_backward.take_norm()
        if grad_norm is None:  # clipping is switched off
            self._check_step()
        norm = whole(super()._get_grad_norm(model, grad_norm=grad_norm))
        if self.is_deepspeed_enabled and not self.args.fp16 and not math.isfinite(norm):
            raise NonFiniteError(
                f"Step {self.state.global_step + 1}: the gradients are not finite. DeepSpeed has updated the weights in "
                "memory with them, so these are of no use; the last checkpoint is good. Lower training.learning_rate."
            )
        return norm

    def _check_step(self) -> None:
        """Stop before the update, and before clipping, which would spread one NaN over all gradients.

        All numbers that are looked at come from the GPU together: the host waits for it once a step.

        Raises:
            NonFiniteError: a loss or a gradient is NaN or infinite.
        """
        gradients = {n: p.grad for n, p in self.model.named_parameters() if p.grad is not None}
        if self.args.fp16:
            gradients = {}  # with loss scaling an infinite one is an ordinary event: the scaler skips that step
        norm = whole(nn.utils.get_total_norm(gradients.values())).to(self.args.device, torch.float32)
        *losses, total = torch.stack([*self._losses, norm]).tolist()
        self._check_losses(losses)
        if math.isfinite(total):
            return
        names = [name for name, gradient in gradients.items() if not torch.isfinite(whole(gradient)).all()]
        first = names[0].removeprefix("model.") if names else "all parameters together"
        raise NonFiniteError(
            f"Step {self.state.global_step + 1}: the gradient of {first} is not finite ({len(names)} tensors in all). "
            "The run stops before this update; the weights are those of the step before. Lower "
            "training.learning_rate, or use another precision; the last checkpoint is good."
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Build the optimiser over what learns, each with its weight decay and learning rate (LoRA+).

        Raises:
            ConfigError: it is to step inside the backward pass, and there are several processes.
        """
        optimizer = self.optimizer
        if optimizer is None:
            decayed = set(self.get_decay_parameter_names(self.model))
            names = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
            decays = {name: self.args.weight_decay if name in decayed else 0.0 for name in names}
            rates = {name: self.args.learning_rate * self.factors.get(name, 1.0) for name in names}
            optimizer = self.optimizer = self.make_optimizer(learners(self.model, decays, rates))
            self.groups = [list(group["params"]) for group in optimizer.param_groups]
        if self.step_in_backward and self.in_backward is None:
            if self.accelerator.num_processes > 1:
                raise ConfigError(
                    "training.optimizer_in_backward works in one process only: gradients of several are averaged first."
                )
            self.in_backward = StepInBackward(self.model, optimizer)
        return optimizer

    # --- evaluation ----------------------------------------------------------------------------------------------

    def evaluate(self, *_: Any, metric_key_prefix: str = "eval", **__: Any) -> dict[str, float]:
        """Return the mean loss per label token, or pair, over the validation rows, without weights.

        Each rank computes its share.

        Raises:
            RunError: it gives no number.
        """
        was_training = self.model.training
        self.model.eval()
        training, self.model.measures = self.model.measures, {}
        total, count = torch.zeros((), dtype=torch.float64, device=self.args.device), 0
        with torch.no_grad(), self.accelerator.autocast():
            for batch in self.get_eval_dataloader():
                count += self.model.count(batch)
                batch = self._prepare_inputs(batch)
                batch.pop("weights", None)
                total += self.model(**batch).double()
        self.model.train(was_training)
        measured, self.model.measures = self._measured(), training
        summed, items = self.ranks.total(float(total), count)
        loss = summed / items if items else math.nan
        if not math.isfinite(loss):
            raise RunError(
                f"Step {self.state.global_step}: evaluation gives no number (loss {loss}, {items:.0f} label tokens or pairs). "
                "Check data.validation and the last training losses."
            )
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in {"loss": loss, **measured}.items()}
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
        assert self.optimizer is not None  # training has begun
        weights = self.form.weights(self.model)
        moments = self.form.optimizer_state(self.optimizer, self.groups)
        draws = {"cpu": torch.stack(self.ranks.collect(torch.get_rng_state()))}
        if torch.cuda.is_available():
            draws["cuda"] = torch.stack(self.ranks.collect(torch.cuda.get_rng_state()))

        def fill(folder: Path) -> None:
            save_file({name: tensor.contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
            torch.save(moments, folder / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), folder / SCHEDULER_NAME)
            self._save_scaler(str(folder))
            torch.save(draws, folder / RANDOM)
            self.state.save_to_json(str(folder / TRAINER_STATE_NAME))

        if self.ranks.lead:
            # weights and two AdamW moments, all in the dtype of the weights
            check_space(self.run.path, 3 * sum(t.numel() * t.element_size() for t in weights.values()), "a checkpoint")
            parent = self.run.checkpoints
            checkpoint.write(parent, checkpoint.folder_name(self.state.global_step), fill)
            best = {self.state.best_global_step} if self.keep_best and self.state.best_global_step else set()
            checkpoint.prune(parent, self.keep, protect=best)
        self.ranks.wait()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Do nothing: the model was built with these weights, before it was shared out."""

    def _prepare_for_training(self, max_steps: int, train_dataloader: Any, resume_from_checkpoint: Any) -> Any:
        """Let HF's trainer prepare as for a new run, and put back what a checkpoint holds, whatever form it is from."""
        try:
            prepared = super()._prepare_for_training(max_steps, train_dataloader, None)
        except ValueError as error:
            if self.form.config is None or "DeepSpeed config" not in str(error):
                raise
            faults = "; ".join(line.strip("- ") for line in str(error).splitlines() if line.startswith("-"))
            raise ConfigError(
                f'distributed.config says something else than the training\'s settings: {faults}. Write "auto" there, '
                "or change the setting."
            ) from None
        if resume_from_checkpoint is not None:
            assert self.optimizer is not None  # just built
            folder = Path(resume_from_checkpoint)
            self.form.put_weights(self.model, load_file(folder / WEIGHTS))
            moments = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
            self.form.put_optimizer_state(self.optimizer, self.groups, moments)
            self.lr_scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))
            self._load_scaler(str(folder))
        return prepared

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        draws = torch.load(Path(checkpoint) / RANDOM, weights_only=True)
        if len(draws["cpu"]) != self.ranks.world:  # each rank's own again, if only dropout draws from them
            torch.manual_seed(hash((self.args.seed, self.state.global_step, self.ranks.rank)))
            return
        torch.set_rng_state(draws["cpu"][self.ranks.rank].clone())
        if torch.cuda.is_available() and "cuda" in draws:
            torch.cuda.set_rng_state(draws["cuda"][self.ranks.rank].clone())


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
