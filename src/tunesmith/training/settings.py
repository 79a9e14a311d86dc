"""TrainConfig: everything that a training run can be told. Full words; Hugging Face's own names are accepted too."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from ..config import Chosen

TUNING = "tunesmith.tuning"


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
    on_bad: Literal["stop", "skip"] = Field("stop", description="What to do about records that cannot be used.")
    end_of_turn: Literal["every", "last"] = Field("every", description="Which answers' ends are taught (MiniCPM).")
    loss_on: Literal["answers", "last_answer", "all"] = Field(
        "answers", description="Learn every answer, the last one of each record, or the whole text."
    )
    group_by_length: bool = Field(True, description="Put rows of similar length into one batch, to save padding.")
    packing: bool = Field(False, description="Join short rows into long ones; they never see each other.")
    pack_length: int | None = Field(None, ge=8, description="Tokens of a packed row. Default: max_length.")
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


class TrainingSettings(_Section):
    """How the training goes."""

    epochs: float = Field(3.0, gt=0, validation_alias=AliasChoices("epochs", "num_train_epochs"))
    steps: int | None = Field(None, ge=1, validation_alias=AliasChoices("steps", "max_steps"))
    batch_size: int = Field(8, ge=1, validation_alias=AliasChoices("batch_size", "per_device_train_batch_size"))
    eval_batch_size: int | None = Field(
        None, ge=1, validation_alias=AliasChoices("eval_batch_size", "per_device_eval_batch_size")
    )
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float | None = Field(None, gt=0, description="Default: 2e-4 for LoRA, 1e-5 for full.")
    schedule: Literal["cosine", "linear", "wsd", "constant"] = Field(
        "cosine", validation_alias=AliasChoices("schedule", "lr_scheduler_type")
    )
    warmup_ratio: float = Field(0.03, ge=0, lt=1)
    warmup_steps: int | None = Field(None, ge=0, description="Overrides warmup_ratio.")
    min_learning_rate_ratio: float = Field(0.0, ge=0, lt=1, description="Where cosine and wsd end.")
    decay_ratio: float = Field(0.1, gt=0, le=1, description="wsd: the share of the steps that decays.")
    weight_decay: float = Field(0.0, ge=0)
    beta1: float = Field(0.9, ge=0, lt=1, validation_alias=AliasChoices("beta1", "adam_beta1"))
    beta2: float = Field(0.999, ge=0, lt=1, validation_alias=AliasChoices("beta2", "adam_beta2"))
    epsilon: float = Field(1e-8, gt=0, validation_alias=AliasChoices("epsilon", "adam_epsilon"))
    max_grad_norm: float = Field(1.0, ge=0, description="Gradients are clipped to this norm; 0 switches it off.")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    gradient_checkpointing: bool = Field(
        False, validation_alias=AliasChoices("gradient_checkpointing", "activation_checkpointing")
    )
    attention: str | None = Field(None, validation_alias=AliasChoices("attention", "attn_implementation"))
    seed: int = 42
    workers: int = Field(0, ge=0, validation_alias=AliasChoices("workers", "dataloader_num_workers"))
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


class TrainConfig(_Section):
    """A training run: a model, data, what learns, how, and the folder where everything goes."""

    model: str = Field(validation_alias=AliasChoices("model", "model_name_or_path"))
    output: str = Field(validation_alias=AliasChoices("output", "output_dir"))
    data: DataSettings
    tuning: Annotated[Any, BeforeValidator(Chosen(TUNING, "method", "lora"))] = Field("lora", validate_default=True)
    training: TrainingSettings = Field(default_factory=lambda: TrainingSettings())

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
        if self.data.streaming:
            if self.training.steps is None:
                raise ValueError("data.streaming needs training.steps: a stream has no end")
            if self.data.validation_share:
                raise ValueError("data.streaming cannot set a share apart; give data.validation instead")
            if any(self.data.weights_of(number)[0] != 1 for number in range(len(self.data.train))):
                raise ValueError("data.streaming reads each source as it is; leave out weight (loss_weight works)")
        return self

    @property
    def learning_rate(self) -> float:
        """The learning rate in effect: the given one, or the method's usual one."""
        if self.training.learning_rate is not None:
            return self.training.learning_rate
        return 1e-5 if self.tuning.method == "full" else 2e-4
