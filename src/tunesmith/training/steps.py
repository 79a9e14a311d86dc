"""The steps of a run, in the order in which `run.py` calls them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from rich.console import Console
from torch import Tensor
from transformers import TrainerState, set_seed
from transformers.integrations.deepspeed import unset_hf_deepspeed_config
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_callback import PrinterCallback
from transformers.utils import logging as hf_logging

from .. import lookup
from ..data.tokenizer import CHAT_TEMPLATE
from ..errors import ConfigError
from ..generate.kernels import use_kernel
from ..locate import locate
from ..models.load import Loaded, load
from ..models.quantise import Quantisation, count, held_bytes
from ..models.weights import write_adapter_identity
from ..runs import RunFolder, check_space
from . import checkpoint
from . import verify as round_trip
from .arguments import training_arguments
from .callbacks import Flow, Metrics, Progress, Screen, StopSignal
from .checkpointing import checkpoint_layers
from .compiled import FirstStep, compile_layers
from .distributed.ranks import Ranks
from .distributed.sharing import Whole
from .loader import worker_count
from .loss_choice import choose_sum
from .objective import Objective, self_test
from .offload import CudaCopies, Offload
from .optimizers import build
from .pictures import look_once
from .preferences import objective_of
from .reference import with_reference
from .rows import Rows
from .settings import TUNING, TrainConfig
from .setup import Setup
from .trainer import TuneTrainer, load_trainable

COPIED = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    CHAT_TEMPLATE,
    "generation_config.json",
)
"""What a model folder needs beside its weights; copied byte for byte from the base."""


def load_base(config: TrainConfig, setup: Setup) -> Loaded:
    """Load the base model, in the dtype chosen for frozen weights, or quantised where the method says so."""
    unset_hf_deepspeed_config()  # else transformers would cut the model as it did an earlier one in this process
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()  # of loading and writing shards: a spinner shows as much
    with setup.console.status(f"Loading {config.model} ..."):
        method = lookup.find(TUNING, config.tuning.method)
        how: Quantisation | Literal["stored"] = "stored"
        if hasattr(method, "quantisation"):
            how = method.quantisation(config.tuning)
        # what is to be shared out may be larger than one device
        device = "cpu" if setup.form.shared else setup.device
        loaded = load(config.model, dtype=setup.precision.load, device=device, base=how)
    if how != "stored":
        setup.say(f"The base is held in {how}: {held_bytes(loaded.model) / 2**20:,.0f} MiB with all that stays whole.")
    if (said := use_kernel(loaded.model, setup.device, setup.precision.compute)) is not None:
        setup.say(said)
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
    if hasattr(method, "prepare") and setup.ranks.lead:
        method.prepare(model, run.path)
    objective = objective_of(config.objective, model, loaded.family, setup.ranks)
    objective.matrix_sum, said = choose_sum(config.training.loss, objective.head, setup.device, setup.precision)
    if said is not None:
        setup.say(said)
    if hasattr(objective.inner, "touches_vision"):
        # a gradient on every rank, and in every step: AdamW goes on with one of zero, but leaves out what has none
        seeing = [*objective.inner.vpm.parameters(), *objective.inner.resampler.parameters()]
        objective.inner.touches_vision = setup.form.shared or any(one.requires_grad for one in seeing)
    learning = sum(p.numel() for p in objective.parameters() if p.requires_grad)
    total = sum(count(p) for p in objective.parameters())
    setup.say(f"Tuning: {config.tuning.method}; {learning:,} of {total:,} parameters learn ({learning / total:.2%}).")
    return objective


def build_trainer(
    config: TrainConfig, setup: Setup, objective: Objective, rows: Rows, method: ModuleType, run: RunFolder
) -> TuneTrainer:
    """Look at the answers before training, put the newest checkpoint's weights in, share the model out, and build HF's trainer around it."""
    settings, ranks = config.training, setup.ranks
    rows = with_reference(config, setup, objective, rows, run)
    step = ranks.tell(checkpoint.newest_good(run.checkpoints, setup.say) if ranks.lead else None)
    resume_from = run.checkpoints / checkpoint.folder_name(step) if step is not None else None
    if resume_from is not None:
        load_trainable(objective, resume_from)
    with ranks.first():
        collator = look_once(objective, rows, setup) if settings.look_once else rows.collator
    checkpoint_layers(config, setup, objective, rows, collator)
    setup.form.share(objective)
    args = training_arguments(config, run.path, setup.precision, rows.count, ranks.world, setup.form.config)
    nodes = config.distributed.nodes if config.distributed is not None else 1
    ranks_here = max(1, ranks.world // nodes)
    args.dataloader_num_workers = worker_count(
        settings.workers, collator, setup.device, ranks_here, stream=rows.order is None
    )
    # experts that no token of a batch is sent to get no gradient
    args.ddp_find_unused_parameters = any("experts" in name for name, _ in objective.named_modules())
    trainer = TuneTrainer(
        run=run,
        order=rows.order,
        keep=settings.keep_checkpoints,
        keep_best=rows.validation is not None and settings.result == "best",
        make_optimizer=partial(build, config),
        form=setup.form,
        model=objective,
        args=args,
        data_collator=collator,
        train_dataset=rows.items,
        eval_dataset=rows.validation,
    )
    trainer.resume_from = resume_from
    trainer.remove_callback(PrinterCallback)
    trainer.step_in_backward = settings.optimizer_in_backward
    if settings.compile and compile_layers(objective, setup.device, setup.say):
        trainer.add_callback(FirstStep(setup.say))
    if settings.activation_offload:
        layers = getattr(objective.inner.get_decoder(), "layers", ())
        trainer.offload = Offload(objective, CudaCopies(setup.device), layers)
    if hasattr(method, "learning_rate_factor"):
        names = [name for name, parameter in objective.named_parameters() if parameter.requires_grad]
        trainer.factors = {name: method.learning_rate_factor(name, config.tuning) for name in names}
    return trainer


def test_objective(config: TrainConfig, setup: Setup, objective: Objective, rows: Rows) -> None:
    """Compare the loss that will be trained with the plain one, before the first step."""
    if not config.training.self_test:
        return
    batch: Any = rows.collator(rows.few())
    device, kind = next(objective.parameters()).device, setup.precision.compute
    moved = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}
    with torch.autocast(device.type, kind, enabled=kind != torch.float32):
        fast, plain = self_test(objective, moved, setup.precision.tolerance)
    setup.say(f"Self-test: the training path gives the loss {fast:.4f}, the plain path {plain:.4f}.")


def fit(config: TrainConfig, setup: Setup, trainer: TuneTrainer, run: RunFolder, progress: Progress) -> int | None:
    """Train to the end, from the newest good checkpoint if there is one; return the signal that stopped it, if any."""
    resume_from, ranks = trainer.resume_from, setup.ranks
    if resume_from is not None:
        trainer.state = TrainerState.load_from_json(str(resume_from / TRAINER_STATE_NAME))
        setup.say(f"Resuming from step {trainer.state.global_step}.")
    progress.step = trainer.state.global_step
    run.rewind_metrics(progress.step)
    stop, metrics = StopSignal(setup.say), Metrics(run, trainer, progress)
    screen = Screen(setup.console, metrics)
    loggers = _loggers(setup.loggers, run) if ranks.lead else []
    for callback in (Flow(stop, progress, ranks), metrics, *loggers, screen):
        trainer.add_callback(callback)
    if progress.step < trainer.args.max_steps:  # HF's loop would take one step more
        # a validation set that gives no number is found out before the first step
        trainer.args.eval_on_start = resume_from is None and trainer.eval_dataset is not None
        if ranks.rank:  # dropout draws other numbers on each rank
            torch.manual_seed(config.training.seed + ranks.rank)
        with stop.listening():
            try:
                trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
            finally:
                screen.close()
                trainer.let_go()
    stopped = stop.number if progress.step < trainer.args.max_steps else None
    if stopped is None and not trainer.form.shared and (best := _best(setup, trainer)) is not None:
        load_trainable(trainer.model, best)
    return stopped


def _loggers(names: list[str], run: RunFolder) -> list[Any]:
    """Return HF's own callbacks for the loggers asked for; TensorBoard writes into the run folder."""
    from transformers.integrations import TensorBoardCallback, get_reporting_integration_callbacks

    found = [kind() for kind in get_reporting_integration_callbacks([name for name in names if name != "tensorboard"])]
    if "tensorboard" in names:
        from torch.utils.tensorboard import SummaryWriter

        found.append(TensorBoardCallback(SummaryWriter(str(run.path / "tensorboard"))))
    return found


def _best(setup: Setup, trainer: TuneTrainer) -> Path | None:
    """Return the checkpoint with the lowest validation loss, if it is not the last one."""
    best = trainer.state.best_global_step
    if not trainer.keep_best or not best or best == trainer.state.global_step:
        return None
    folder = trainer.run.checkpoints / checkpoint.folder_name(best)
    wrong = checkpoint.faults(folder) if folder.is_dir() else ["it is missing"]
    if wrong:
        setup.say(f"The best checkpoint (step {best}) is damaged ({wrong[0]}); the result is the last one instead.")
        return None
    setup.say(f"The result is step {best}, with the lowest validation loss ({trainer.state.best_metric:.4f}).")
    return folder


def learned(config: TrainConfig, setup: Setup, trainer: TuneTrainer, method: ModuleType) -> Objective:
    """Return the model with what was learned: the trained one, or where that is shared out, one built anew.

    The last checkpoint is that of the last step; it holds the exact weights, which with ZeRO no model has.
    """
    if not trainer.form.shared:
        return trainer.model
    alone = replace(
        setup, console=Console(quiet=True), form=Whole(Ranks(), torch.device("cpu")), device=torch.device("cpu")
    )
    objective = build_objective(config, alone, load_base(config, alone), method, trainer.run)
    last = trainer.run.checkpoints / checkpoint.folder_name(trainer.state.global_step)
    load_trainable(objective, _best(setup, trainer) or last)
    return objective


def save_result(
    config: TrainConfig, setup: Setup, objective: Objective, rows: Rows, method: ModuleType, run: RunFolder
) -> Path:
    """Write the adapter or the model, whole or not at all, and record what a clean process must reproduce."""
    objective.config.use_cache = True  # HF's trainer switched it off
    base, adapter = locate(config.model), method.RESULT == "adapter"
    saved = [p for p in objective.parameters() if p.requires_grad or not adapter]
    check_space(run.path, sum(p.numel() * p.element_size() for p in saved), "the result")
    same = True

    def fill(folder: Path) -> None:
        nonlocal same
        same = method.save(objective.model, folder)
        if adapter:
            how = vars(method.quantisation(config.tuning)) if hasattr(method, "quantisation") else None
            write_adapter_identity(folder, base, config.model, how)
        if not adapter or config.chat_template is not None:
            for name in COPIED:
                if (base / name).is_file():
                    shutil.copyfile(base / name, folder / name)
        if config.chat_template is not None:  # whatever the base has: this is what chat is to use
            (folder / CHAT_TEMPLATE).write_text(rows.tokenizer.chat_template or "", encoding="utf-8")

    result = checkpoint.write(run.path, method.RESULT, fill)
    dtype = setup.precision.load if adapter else objective.inner.dtype
    examples = rows.validation if rows.validation is not None else rows.train
    few = rows.few() if examples is None else [examples[number] for number in range(min(4, len(examples)))]
    batches = [rows.collator([getattr(item, "examples", (item,))[0]]) for item in few]
    assert rows.work.chat is not None  # rows are made with one
    prompt = round_trip.prompt_ids(rows.work.chat, rows.tokenizer)
    round_trip.record(objective, batches, run.path, same, dtype, prompt)
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
    if report["quantised"]:
        apart = report.get("unquantised_difference")
        found = "could not be loaded here" if apart is None else f"moves the logits of a row by up to {apart:.2g}"
        setup.say(f"The base without quantisation under the same adapter {found}.")
    return {"verified": True, "max_logit_difference": report["max_logit_difference"]}
