"""The steps of a run, in the order in which `run.py` calls them."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerState, set_seed
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as hf_logging

from ..errors import ConfigError
from ..locate import locate
from ..models.load import Loaded, load
from ..models.weights import write_adapter_identity
from ..runs import RunFolder, check_space
from . import checkpoint
from . import verify as round_trip
from .arguments import training_arguments
from .callbacks import Flow, Metrics, Progress, Screen, StopSignal
from .objective import Objective, self_test
from .pictures import look_once
from .rows import Rows
from .settings import TrainConfig
from .setup import Setup
from .trainer import TuneTrainer, load_trainable

COPIED = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "generation_config.json",
)
"""What a model folder needs beside its weights; copied byte for byte from the base."""


def load_base(config: TrainConfig, setup: Setup) -> Loaded:
    """Load the base model, in the dtype chosen for frozen weights."""
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()  # of loading and writing shards: a spinner shows as much
    with setup.console.status(f"Loading {config.model} ..."):
        loaded = load(config.model, dtype=setup.precision.load, device=setup.device)
    if config.training.attention is not None:
        try:
            loaded.model.set_attn_implementation(config.training.attention)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"training.attention: {error}") from None
    return loaded


def build_objective(config: TrainConfig, setup: Setup, loaded: Loaded, method: ModuleType, run: RunFolder) -> Objective:
    """Choose what learns, and join the model with its loss."""
    set_seed(config.training.seed)
    model = method.apply(loaded.model, loaded.family, config.tuning)
    if hasattr(method, "prepare"):
        method.prepare(model, run.path)
    objective = Objective(model, loaded.family)
    if config.training.gradient_checkpointing:
        # transformers 5.23 calls activation checkpointing what 5.17 calls gradient checkpointing
        if hasattr(objective.inner, "activation_checkpointing_enable"):
            objective.inner.activation_checkpointing_enable({"use_reentrant": False})
        else:
            objective.inner.gradient_checkpointing_enable({"use_reentrant": False})
    learning = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    total = sum(p.numel() for p in objective.parameters())
    setup.say(f"Tuning: {config.tuning.method}; {learning:,} of {total:,} parameters learn ({learning / total:.2%}).")
    return objective


def build_trainer(
    config: TrainConfig, setup: Setup, objective: Objective, rows: Rows, method: ModuleType, run: RunFolder
) -> TuneTrainer:
    """Build HF's trainer around the objective."""
    settings = config.training
    trainer = TuneTrainer(
        run=run,
        order=rows.order,
        keep=settings.keep_checkpoints,
        keep_best=rows.validation is not None and settings.result == "best",
        model=objective,
        args=training_arguments(config, run.path, setup.precision, len(rows.items) if rows.order else None),
        data_collator=look_once(objective, rows, setup) if settings.look_once else rows.collator,
        train_dataset=rows.items,
        eval_dataset=rows.validation,
    )
    trainer.remove_callback(PrinterCallback)
    if hasattr(method, "learning_rate_factor"):
        names = [name for name, parameter in objective.named_parameters() if parameter.requires_grad]
        trainer.factors = {name: method.learning_rate_factor(name, config.tuning) for name in names}
    return trainer


def test_objective(config: TrainConfig, setup: Setup, trainer: TuneTrainer, rows: Rows) -> None:
    """Compare the loss that will be trained with the plain one, before the first step."""
    if not config.training.self_test:
        return
    batch: Any = rows.collator(rows.few())
    moved = {key: value.to(setup.device) if isinstance(value, Tensor) else value for key, value in batch.items()}
    with trainer.accelerator.autocast():
        fast, plain = self_test(trainer.model, moved, setup.precision.tolerance)
    setup.say(f"Self-test: the training path gives the loss {fast:.4f}, the plain path {plain:.4f}.")


def fit(config: TrainConfig, setup: Setup, trainer: TuneTrainer, run: RunFolder, progress: Progress) -> int | None:
    """Train to the end, from the newest good checkpoint if there is one; return the signal that stopped it, if any."""
    step = checkpoint.newest_good(run.checkpoints, setup.say)
    resume_from = run.checkpoints / checkpoint.folder_name(step) if step is not None else None
    run.rewind_metrics(step or 0)
    if step is not None:
        setup.say(f"Resuming from step {step}.")
    progress.step = step or 0
    stop, metrics = StopSignal(setup.say), Metrics(run, trainer, progress)
    screen = Screen(setup.console, metrics)
    for callback in (Flow(stop, progress), metrics, *_loggers(setup.loggers, run), screen):
        trainer.add_callback(callback)
    if resume_from is not None and progress.step >= trainer.args.max_steps:
        # HF's loop would take one step more
        load_trainable(trainer.model, resume_from)
        trainer.state = TrainerState.load_from_json(str(resume_from / TRAINER_STATE_NAME))
    else:
        if step is None and trainer.eval_dataset is not None:
            trainer.evaluate()  # a validation set that gives no number is found out before the first step
        with stop.listening():
            try:
                trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
            finally:
                screen.close()
    stopped = stop.number if progress.step < trainer.args.max_steps else None
    if stopped is None:
        _take_best(setup, trainer, run)
    return stopped


def _loggers(names: list[str], run: RunFolder) -> list[Any]:
    """Return HF's own callbacks for the loggers asked for; TensorBoard writes into the run folder."""
    from transformers.integrations import TensorBoardCallback, get_reporting_integration_callbacks

    found = [kind() for kind in get_reporting_integration_callbacks([name for name in names if name != "tensorboard"])]
    if "tensorboard" in names:
        from torch.utils.tensorboard import SummaryWriter

        found.append(TensorBoardCallback(SummaryWriter(str(run.path / "tensorboard"))))
    return found


def _take_best(setup: Setup, trainer: TuneTrainer, run: RunFolder) -> None:
    """Put the weights with the lowest validation loss back, if they are not the last ones."""
    best = trainer.state.best_global_step
    if not trainer.keep_best or not best or best == trainer.state.global_step:
        return
    folder = run.checkpoints / checkpoint.folder_name(best)
    wrong = checkpoint.faults(folder) if folder.is_dir() else ["it is missing"]
    if wrong:
        setup.say(f"The best checkpoint (step {best}) is damaged ({wrong[0]}); the result is the last one instead.")
        return
    load_trainable(trainer.model, folder)
    setup.say(f"The result is step {best}, with the lowest validation loss ({trainer.state.best_metric:.4f}).")


def save_result(config: TrainConfig, setup: Setup, trainer: TuneTrainer, rows: Rows, method: ModuleType) -> Path:
    """Write the adapter or the model, whole or not at all, and record what a clean process must reproduce."""
    objective, run = trainer.model, trainer.run
    objective.config.use_cache = True  # HF's trainer switched it off
    base, adapter = locate(config.model), method.RESULT == "adapter"
    saved = [p for p in objective.parameters() if p.requires_grad or not adapter]
    check_space(run.path, sum(p.numel() * p.element_size() for p in saved), "the result")
    same = True

    def fill(folder: Path) -> None:
        nonlocal same
        same = method.save(objective.model, folder)
        if adapter:
            write_adapter_identity(folder, base, config.model)
        else:
            for name in COPIED:
                if (base / name).is_file():
                    shutil.copyfile(base / name, folder / name)

    result = checkpoint.write(run.path, method.RESULT, fill)
    dtype = setup.precision.load if adapter else torch.float32
    examples = rows.validation if rows.validation is not None else rows.train
    few = rows.few() if examples is None else [examples[number] for number in range(min(4, len(examples)))]
    batches = [rows.collator([getattr(item, "examples", (item,))[0]]) for item in few]
    round_trip.record(objective, batches, run.path, same, dtype)
    return result


def verify(config: TrainConfig, setup: Setup, run: RunFolder) -> dict[str, Any]:
    """Let a clean process load the result and compare; return what goes into status.json."""
    if not config.training.verify:
        return {"verified": False}
    run.set_status("verifying", step=run.status.get("step"))
    with setup.console.status("Loading the result in a clean process ..."):
        report = round_trip.check_in_clean_process(run.path)
    setup.say(
        f"Round trip: a clean process loaded {report['tensors']} trained tensors and {report['rows']} rows of logits; "
        f"largest difference {report['max_logit_difference']:.2g}."
    )
    return {"verified": True, "max_logit_difference": report["max_logit_difference"]}
