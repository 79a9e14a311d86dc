"""lora: low-rank adapters on linear layers (PEFT), with DoRA, rsLoRA, PiSSA and LoRA+ as options.

Of a model with parts (MiniCPM-V: language, vision, resampler, embeddings) each learns by adapters, in full, or not.

Sources: LoRA arXiv 2106.09685, rsLoRA 2312.03732, DoRA 2402.09353, PiSSA 2404.02948, LoRA+ 2402.12354.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from ..errors import ConfigError
from ..runs import share

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from ..models.family import Family

RESULT = "adapter"
"""The folder of the run that holds the result."""

INITIAL = "initial_adapter"
"""In the run folder of a PiSSA run: the adapter before training, needed to write the result."""

PARTS = ("language", "vision", "resampler", "embeddings")
"""The parts that a model may have; each is a setting."""


class Settings(BaseModel):
    """What LoRA and QLoRA can be told. `rank` r and `alpha` give the scale alpha / r (alpha / sqrt(r) with `rslora`).

    `targets`: "all-linear" (every linear layer but the head), a list of layer names, or a regular expression over
    full module names. `plus_ratio`: learning rate of B over that of A (LoRA+). `init`: "default", "pissa" (exact
    singular value decomposition), "pissa_niter_16" (fast one), or PEFT's other names. `fused`: an adapter and its layer
    are one step of the graph where they can be (`fused.py`): the same mathematics in less memory.

    `language`, `vision`, `resampler`, `embeddings`: how these parts of the model learn; `language` is the language
    model without its embeddings. `targets` count inside the parts that are lora.
    """

    model_config = ConfigDict(extra="forbid")

    method: Literal["lora", "qlora"]
    rank: int = Field(16, ge=1, validation_alias=AliasChoices("rank", "r", "lora_rank", "lora_r"))
    alpha: float = Field(32, gt=0, validation_alias=AliasChoices("alpha", "lora_alpha"))
    dropout: float = Field(0.0, ge=0, lt=1, validation_alias=AliasChoices("dropout", "lora_dropout"))
    targets: str | list[str] | None = Field(
        None, validation_alias=AliasChoices("targets", "target_modules", "lora_target")
    )
    dora: bool = Field(False, validation_alias=AliasChoices("dora", "use_dora"))
    rslora: bool = Field(False, validation_alias=AliasChoices("rslora", "use_rslora"))
    init: str = Field("default", validation_alias=AliasChoices("init", "init_lora_weights"))
    plus_ratio: float | None = Field(None, gt=0, validation_alias=AliasChoices("plus_ratio", "loraplus_lr_ratio"))
    fused: bool = True
    language: Literal["lora", "full", "frozen"] = "lora"
    vision: Literal["lora", "full", "frozen"] = "frozen"
    resampler: Literal["full", "frozen"] = "frozen"
    embeddings: Literal["full", "frozen"] = "frozen"


class Config(Settings):
    """Settings of LoRA."""

    method: Literal["lora"] = "lora"


def apply(model: PreTrainedModel, family: Family, config: Settings) -> PeftModel:
    """Freeze the model, add adapters and let parts learn in full; what learns is float32 whatever the base's dtype.

    Raises:
        ConfigError: the model does not have these parts or layers, or PEFT refuses the combination.
    """
    from peft import LoraConfig, get_peft_model

    from ._parts import check_ways, layers_for, let_learn  # torch: only when a model is there
    from .fused import register

    ways = {part: getattr(config, part) for part in PARTS}
    check_ways(family, ways, {part: Settings.model_fields[part].default for part in PARTS})
    targets = layers_for(model, family, ways, config.targets)
    settings = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=targets,
        use_dora=config.dora,
        use_rslora=config.rslora,
        init_lora_weights=True if config.init == "default" else config.init,
        bias="none",
        task_type="CAUSAL_LM",
    )
    if config.fused:
        register(settings)
    try:
        with warnings.catch_warnings():  # PEFT 0.21 asks transformers 5.23 by an old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            adapted = get_peft_model(model, settings)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"tuning: {error}") from None
    let_learn(model, family, ways)
    return adapted


def save(model: PeftModel, folder: Path) -> bool:
    """Write the adapter, and what was trained in full, into `folder`. True: the stored tensors are the trained ones.

    PiSSA trains against a changed base; its adapter is written as an ordinary one of twice the rank for the
    original base, so its tensors differ while the function is the same.

    An adapter on the head or the embedding is saved without the base's matrix, which it does not change
    (`save_embedding_layers`); one that learns in full is among what `write_trained` writes.
    """
    from ..models.trained import write_trained

    write_trained(model, folder)
    initial = folder.parent / INITIAL
    if model.peft_config["default"].init_lora_weights is True or not initial.is_dir():
        model.save_pretrained(str(folder), save_embedding_layers=False)
        return True
    with warnings.catch_warnings():  # it recommends what is being done, and looks at the first adapter with "auto"
        warnings.filterwarnings("ignore", message="PiSSA changes the base weights")
        warnings.filterwarnings("ignore", message="Setting `save_embedding_layers`")
        model.save_pretrained(
            str(folder), save_embedding_layers=False, path_initial_model_for_weight_conversion=str(initial)
        )
    return False


def prepare(model: PeftModel, run: Path) -> None:
    """Write beside the coming result what `save` needs later: for PiSSA, the adapter as it is before training."""
    settings = model.peft_config["default"]
    if not str(settings.init_lora_weights).startswith("pissa"):
        return
    kind = settings.init_lora_weights
    settings.init_lora_weights = True  # a plain adapter on disk; PEFT asks for this before the conversion
    model.save_pretrained(str(run / INITIAL), save_embedding_layers=False)
    for file in (run / INITIAL).iterdir():
        share(file)
    settings.init_lora_weights = kind


def learning_rate_factor(name: str, config: Settings) -> float:
    """Return what the learning rate of the parameter `name` is multiplied by: LoRA+ speeds up the B matrices."""
    return config.plus_ratio if config.plus_ratio is not None and ".lora_B." in name else 1.0
