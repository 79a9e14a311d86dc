"""TrainConfig: everything that a training run can be told. Full words; Hugging Face's own names are accepted too."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from .. import lookup
from ..config import Chosen

TUNING, OBJECTIVES = "tunesmith.tuning", "tunesmith.training.objectives"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", validate_default=False)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Files = Annotated[list[str], BeforeValidator(_as_list)]


class Source(_Section):
    """A data file that counts more or less than others."""

    path: str = Field(description="A file, a folder or a pattern.")
    weight: float = Field(1.0, gt=0, description="How often its rows come in an epoch: 2 is twice, 0.25 every fourth.")
    loss_weight: float = Field(1.0, ge=0, description="What the loss of its rows is multiplied by.")


Sources = Annotated[list[str | Source], BeforeValidator(lambda value: [value] if isinstance(value, dict) else value)]


class DataSettings(_Section):
    """Which records are learned from, and how they become rows."""

    train: Annotated[Sources, BeforeValidator(_as_list)] = Field(
        min_length=1, description="Files, folders or patterns to learn from; or {path, weight, loss_weight} for each."
    )
    validation: Files = Field([], description="Files to evaluate on.")
    validation_share: float = Field(0.0, ge=0, lt=1, description="Share of the training rows set apart instead.")
    format: str | None = Field(None, description="messages, sharegpt, alpaca ...; found out when left out.")
    max_length: int = Field(
        1024,
        ge=8,
        validation_alias=AliasChoices("max_length", "model_max_length", "max_seq_length", "cutoff_len"),
        description="Tokens a row may have; what is over is cut at the right and reported.",
    )
    picture_roots: Files = Field([], description="Folders whose pictures may be read, beside those of the data files.")
    fetch_pictures: bool = Field(False, description="Fetch pictures of the web, once, into the cache.")
    on_bad: Literal["stop", "skip"] = Field("stop", description="What to do about records that cannot be used.")
    end_of_turn: Literal["every", "last"] = Field("every", description="Which answers' ends are taught (MiniCPM).")
    loss_on: Literal["answers", "last_answer", "all"] = Field(
        "answers", description="Learn every answer, the last one of each record, or the whole text."
    )
    group_by_length: bool = Field(True, description="Put rows of similar length into one batch, to save padding.")
    packing: bool = Field(False, description="Join short rows into long ones; they never see each other.")
    pack_length: int | None = Field(None, ge=8, description="Tokens of a packed row. Default: max_length.")
    share_prefixes: Literal["auto"] | bool = Field(
        "auto", description="Compute tokens at the beginning of rows once for all rows of a batch that share them."
    )
    streaming: bool = Field(False, description="Prepare rows while training, for data larger than the disk.")
    shuffle_window: int = Field(10_000, ge=1, description="streaming: how many rows are held and shuffled together.")
    processes: int | None = Field(None, ge=1, description="Processes that prepare rows. Default: one for each core.")

    @property
    def train_paths(self) -> list[str]:
        """The training sources without their weights."""
        return [source if isinstance(source, str) else source.path for source in self.train]

    def weights_of(self, number: int) -> tuple[float, float]:
        """Return (weight, loss_weight) of a training source."""
        source = self.train[number]
        return (1.0, 1.0) if isinstance(source, str) else (source.weight, source.loss_weight)


_SIZE = re.compile(r"(\d+(?:\.\d+)?) *([KMGT])(iB|B)")


def _as_bytes(value: Any) -> Any:
    """Return a size such as "8GiB" (2^30 each) or "8 GB" (10^9) in bytes; anything else as it is."""
    if not isinstance(value, str) or value.strip().isdigit():
        return value
    found = _SIZE.fullmatch(value.strip())
    if found is None:
        raise ValueError(f"'{value}' is no size; write it as 8GiB, 500MiB or 8GB")
    number, power = float(found[1]), "KMGT".index(found[2]) + 1
    return int(number * (1024 if found[3] == "iB" else 1000) ** power)


Bytes = Annotated[int, BeforeValidator(_as_bytes)]

HF_OPTIMIZERS = {
    "adamw_torch": "adamw",
    "adamw_torch_fused": "adamw",
    "adamw_bnb_8bit": "adamw_8bit",
    "paged_adamw_32bit": "paged_adamw",
}
"""Hugging Face's other names of optimisers that we have."""


class TrainingSettings(_Section):
    """How the training goes."""

    epochs: float = Field(3.0, gt=0, validation_alias=AliasChoices("epochs", "num_train_epochs"))
    steps: int | None = Field(None, ge=1, validation_alias=AliasChoices("steps", "max_steps"))
    batch_size: int = Field(8, ge=1, validation_alias=AliasChoices("batch_size", "per_device_train_batch_size"))
    batch_tokens: int | None = Field(
        None, ge=8, description="Instead of batch_size: as many rows a batch as fit these tokens, padding counted."
    )
    eval_batch_size: int | None = Field(
        None, ge=1, validation_alias=AliasChoices("eval_batch_size", "per_device_eval_batch_size")
    )
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float | None = Field(
        None, gt=0, description="Default: 2e-4 for LoRA, 1e-5 for full; dpo, kto: a tenth."
    )
    schedule: Literal["cosine", "linear", "wsd", "constant"] = Field(
        "cosine", validation_alias=AliasChoices("schedule", "lr_scheduler_type")
    )
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    warmup_steps: int | None = Field(None, ge=0, description="Overrides warmup_ratio.")
    min_learning_rate_ratio: float = Field(0.0, ge=0, lt=1, description="Where cosine and wsd end.")
    decay_ratio: float = Field(0.1, gt=0, le=1, description="wsd: the share of the steps that decays.")
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit", "adafactor", "muon"] = Field(
        "adamw", validation_alias=AliasChoices("optimizer", "optim")
    )
    optimizer_in_backward: bool = Field(False, description="Update each parameter as soon as its gradient is there.")
    weight_decay: float = Field(0.0, ge=0)
    beta1: float = Field(0.9, ge=0, lt=1, validation_alias=AliasChoices("beta1", "adam_beta1"))
    beta2: float = Field(0.999, ge=0, lt=1, validation_alias=AliasChoices("beta2", "adam_beta2"))
    epsilon: float = Field(1e-8, gt=0, validation_alias=AliasChoices("epsilon", "adam_epsilon"))
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are clipped to this norm; 0 switches it off.")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gradient_checkpointing: bool | Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        False,
        validation_alias=AliasChoices("gradient_checkpointing", "activation_checkpointing"),
        description="Compute layers again in the backward pass: all, some, or as many as memory_budget asks for.",
    )
    memory_budget: Bytes | None = Field(None, ge=2**20, description="What gradient_checkpointing auto fits into: 8GiB.")
    activation_offload: bool = Field(False, description="Keep activations in main memory instead of on the GPU.")
    compile: bool = Field(
        False,
        validation_alias=AliasChoices("compile", "torch_compile"),
        description="Compile the layers for training steps (torch.compile); meant for GPUs.",
    )
    attention: str | None = Field(None, validation_alias=AliasChoices("attention", "attn_implementation"))
    loss: Literal["auto", "chunked", "torch", "liger"] = Field("auto", description="What sums the loss of the labels.")
    seed: int = 42
    workers: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        "auto", validation_alias=AliasChoices("workers", "dataloader_num_workers")
    )
    eval_steps: int | None = Field(None, ge=1, description="Default: once an epoch.")
    save_steps: int | None = Field(None, ge=1, description="Default: once an epoch.")
    logging_steps: int = Field(1, ge=1)
    keep_checkpoints: int = Field(2, ge=1, validation_alias=AliasChoices("keep_checkpoints", "save_total_limit"))
    result: Literal["best", "last"] = Field("best", description="Which weights are the result, with validation data.")
    resume: Literal["auto", "never"] = "auto"
    report_to: Files | None = Field(
        None, description="tensorboard, wandb, swanlab, mlflow. Default: tensorboard if it is installed."
    )
    look_once: bool = Field(True, description="Keep what a vision tower that does not learn makes of pictures.")
    self_test: bool = True
    verify: bool = Field(True, description="Load the result in a clean process and compare.")

    @field_validator("schedule", mode="before")
    @classmethod
    def _hf_schedule(cls, value: Any) -> Any:
        return {"warmup_stable_decay": "wsd", "constant_with_warmup": "constant"}.get(value, value)

    @field_validator("optimizer", mode="before")
    @classmethod
    def _hf_optimizer(cls, value: Any) -> Any:
        return HF_OPTIMIZERS.get(value, value)

    @model_validator(mode="after")
    def _budget(self) -> TrainingSettings:
        if self.memory_budget is not None and self.gradient_checkpointing != "auto":
            raise ValueError("memory_budget is what gradient_checkpointing: auto fits into; it goes with that alone")
        if self.activation_offload and self.gradient_checkpointing == "auto":
            raise ValueError(
                "gradient_checkpointing: auto counts activations on the GPU, and activation_offload moves them away; "
                "take one of them, or a number of layers"
            )
        if self.activation_offload and self.compile:
            raise ValueError(
                "compile decides by itself what is kept, and activation_offload moves it; take one of them"
            )
        return self

    @model_validator(mode="after")
    def _in_backward(self) -> TrainingSettings:
        if self.optimizer_in_backward:
            if self.gradient_accumulation_steps > 1:
                raise ValueError(
                    "optimizer_in_backward updates after every batch, so gradient_accumulation_steps must be 1"
                )
            if self.max_grad_norm > 0:
                raise ValueError(
                    "optimizer_in_backward never has all gradients at once, so they cannot be clipped to a common "
                    "norm; set max_grad_norm: 0"
                )
            if self.precision == "fp16":
                raise ValueError("optimizer_in_backward does not go with the loss scaling of precision fp16")
        return self


class DistributedSettings(_Section):
    """Over how many processes a run is spread, and how."""

    processes: int | Literal["auto"] = Field(
        "auto",
        validation_alias=AliasChoices("processes", "num_processes", "nproc_per_node"),
        description="How many on this machine; auto: one for each GPU.",
    )
    engine: Literal["ddp", "deepspeed", "fsdp"] = Field(
        "ddp", description="ddp: the model whole on each; fsdp and deepspeed share it out."
    )
    stage: Literal[1, 2, 3] = Field(2, description="deepspeed: 1 shares the optimizer out, 2 gradients too, 3 weights.")
    offload: Literal["none", "optimizer", "all"] = Field(
        "none", description="deepspeed: what lies in main memory; all (weights too) needs stage 3."
    )
    config: str | None = Field(None, description="A DeepSpeed JSON; it stands for stage and offload.")
    nodes: int = Field(1, ge=1, validation_alias=AliasChoices("nodes", "nnodes", "num_machines"))
    node_rank: int = Field(0, ge=0, description="Which of the machines this is, counted from 0.")
    address: str | None = Field(None, description="Of machine 0, where there are several.")
    port: int | None = Field(None, ge=1, le=65535, description="Of machine 0. Default: 29500, or a free one.")

    @field_validator("processes")
    @classmethod
    def _some(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be at least 1, or auto")
        return value

    @model_validator(mode="after")
    def _fits(self) -> DistributedSettings:
        usual = {"stage": 2, "offload": "none", "config": None}
        given = [name for name, value in usual.items() if getattr(self, name) != value]
        if self.engine != "deepspeed" and given:
            raise ValueError(f"{', '.join(given)}: only with engine: deepspeed")
        if self.config is not None and len(given) > 1:
            raise ValueError("config is a whole DeepSpeed configuration; leave stage and offload out beside it")
        if self.offload == "all" and self.stage != 3:
            raise ValueError("offload: all puts the weights into main memory, which needs stage: 3")
        if self.node_rank >= self.nodes:
            raise ValueError(f"node_rank {self.node_rank} does not exist: {self.nodes} nodes are counted from 0")
        return self


class TrainConfig(_Section):
    """A training run: a model, data, what learns, how, and the folder where everything goes."""

    model: str = Field(validation_alias=AliasChoices("model", "model_name_or_path"))
    output: str = Field(validation_alias=AliasChoices("output", "output_dir"))
    chat_template: str | None = Field(
        None, description="human-assistant, chatml, minicpm or a .jinja file. Default: the model's own."
    )
    data: DataSettings
    tuning: Annotated[Any, BeforeValidator(Chosen(TUNING, "method", "lora"))] = Field("lora", validate_default=True)
    objective: Annotated[Any, BeforeValidator(Chosen(OBJECTIVES, "method", "sft"))] = Field(
        "sft", validate_default=True
    )
    training: TrainingSettings = Field(default_factory=lambda: TrainingSettings())
    distributed: DistributedSettings | None = Field(None, description="Several processes. Default: one.")

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        if self.data.validation and self.data.validation_share:
            raise ValueError("data: give either validation or validation_share, not both")
        if self.training.eval_steps and not (self.data.validation or self.data.validation_share):
            raise ValueError("training.eval_steps needs data.validation or data.validation_share")
        if self.data.pack_length is not None and not self.data.packing:
            raise ValueError("data.pack_length needs data.packing=true")
        if (self.data.pack_length or self.data.max_length) < self.data.max_length:
            raise ValueError("data.pack_length must not be less than data.max_length: a row would not fit")
        kinds = ("adamw", "adamw_8bit")
        if self.bf16_weights and (self.training.optimizer not in kinds or self.training.precision in ("fp16", "fp32")):
            raise ValueError(
                f"tuning.master_weights={self.tuning.master_weights} is AdamW on bfloat16 weights; it goes with "
                "training.optimizer=adamw or adamw_8bit and precision=bf16 (or auto)"
            )
        if self.data.streaming:
            if self.training.steps is None:
                raise ValueError("data.streaming needs training.steps: a stream has no end")
            if self.training.workers not in ("auto", 0):
                raise ValueError(
                    "data.streaming has processes of its own (data.processes); each of training.workers would give "
                    "every row once more, so leave them out"
                )
            if self.data.share_prefixes is True:
                raise ValueError("data.share_prefixes sorts all rows, which a stream cannot; leave it out")
            if self.data.validation_share:
                raise ValueError("data.streaming cannot set a share apart; give data.validation instead")
            if any(self.data.weights_of(number)[0] != 1 for number in range(len(self.data.train))):
                raise ValueError("data.streaming reads each source as it is; leave out weight (loss_weight works)")
        return self

    @model_validator(mode="after")
    def _batches_of_tokens(self) -> TrainConfig:
        tokens, data = self.training.batch_tokens, self.data
        if tokens is None:
            return self
        if tokens < data.max_length:
            raise ValueError("training.batch_tokens must not be less than data.max_length: a row would not fit")
        refused = {
            "data.packing": (data.packing, "which fills packs up to data.pack_length tokens already"),
            "data.streaming": (data.streaming, "which does not know the rows beforehand"),
            "data.group_by_length=false": (not data.group_by_length, "as it puts rows of similar length together"),
            f"objective {self.objective.method}": (
                lookup.find(OBJECTIVES, self.objective.method).ANSWERS != "good",
                "whose rows have two answers",
            ),
        }
        for name, (asked, why) in refused.items():
            if asked:
                raise ValueError(f"training.batch_tokens does not go with {name}, {why}; give training.batch_size")
        return self

    @model_validator(mode="after")
    def _can_be_shared_out(self) -> TrainConfig:
        engine = "ddp" if self.distributed is None else self.distributed.engine
        whole = {
            "tuning.method=qlora": self.tuning.method == "qlora",
            "tuning.master_weights": self.bf16_weights,
            f"training.optimizer={self.training.optimizer}": self.training.optimizer != "adamw",
            "training.optimizer_in_backward": self.training.optimizer_in_backward,
            "training.activation_offload": self.training.activation_offload,
            "training.compile": self.training.compile,
            "training.gradient_checkpointing=auto": self.training.gradient_checkpointing == "auto",
        }
        for name, asked in whole.items():
            if asked and engine != "ddp":
                raise ValueError(
                    f"{name} needs whole tensors, and distributed.engine={engine} cuts them; use engine=ddp"
                )
        return self

    @model_validator(mode="after")
    def _fits_objective(self) -> TrainConfig:
        method, kind = self.objective.method, lookup.find(OBJECTIVES, self.objective.method)
        if kind.ANSWERS == "good":
            return self
        if self.distributed is not None and self.distributed.engine != "ddp":
            raise ValueError(
                f"objective {method} works with distributed.engine ddp, not with {self.distributed.engine}"
            )
        if self.training.loss in ("torch", "liger"):
            raise ValueError(
                f"training.loss={self.training.loss} sums a loss; objective {method} needs each; take auto"
            )
        if self.data.loss_on == "all":
            raise ValueError(f"objective {method} compares answers, so data.loss_on cannot be all; leave it out")
        if self.data.streaming and kind.REFERENCE:
            raise ValueError(
                f"objective {method} looks at all answers once before it trains, which a stream cannot give; "
                "leave out data.streaming, or take objective orpo"
            )
        if self.data.pack_length is not None and self.data.pack_length < 2 * self.data.max_length:
            raise ValueError(
                f"data.pack_length must be at least twice data.max_length with objective {method}: both answers of a "
                "record, each with its prompt, share a pack"
            )
        if kind.ANSWERS == "judged" and self.training.batch_size < 2:
            raise ValueError(
                f"objective {method} takes its baseline over a batch; training.batch_size must be 2 or more"
            )
        return self

    @property
    def bf16_weights(self) -> bool:
        """Whether all that learns is held in bfloat16, without a float32 copy."""
        return getattr(self.tuning, "master_weights", "float32") != "float32"

    @property
    def learning_rate(self) -> float:
        """The learning rate in effect: the given one, or what is usual with the tuning and the objective."""
        if self.training.learning_rate is not None:
            return self.training.learning_rate
        rate: float = lookup.find(OBJECTIVES, self.objective.method).RATE
        return rate * (1e-5 if self.tuning.method == "full" else 2e-4)
