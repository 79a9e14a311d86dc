"""lora: low-rank adapters on linear layers (PEFT), with DoRA, rsLoRA, PiSSA and LoRA+ as options.

Sources: LoRA arXiv 2106.09685, rsLoRA 2312.03732, DoRA 2402.09353, PiSSA 2404.02948, LoRA+ 2402.12354.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from .. import lookup
from ..errors import ConfigError

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel

    from ..models.family import Family

RESULT = "adapter"
"""The folder of the run that holds the result."""


INITIAL = "initial_adapter"
"""In the run folder of a PiSSA run: the adapter before training, needed to write the result."""


class Config(BaseModel):
    """Settings of LoRA. `rank` r and `alpha` give the scale alpha / r (alpha / sqrt(r) with `rslora`).

    `targets`: "all-linear" (every linear layer but the head), a list of layer names, or a regular expression over
    full module names. `plus_ratio`: learning rate of B over that of A (LoRA+). `init`: "default", "pissa" (exact
    singular value decomposition), "pissa_niter_16" (fast one), or PEFT's other names.
    """

    model_config = ConfigDict(extra="forbid")

    method: Literal["lora"] = "lora"
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


def apply(model: PreTrainedModel, family: Family, config: Config) -> PeftModel:
    """Freeze the model and add adapters, in float32 whatever the base's dtype.

    Raises:
        ConfigError: `targets` names no layer of this model, or PEFT refuses the combination.
    """
    from peft import LoraConfig, get_peft_model

    targets: Any = config.targets if config.targets is not None else family.lora_targets
    if isinstance(targets, tuple):
        targets = list(targets)
    _check_targets(model, targets)
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
    try:
        with warnings.catch_warnings():  # PEFT 0.21 asks transformers 5.23 by an old name
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return get_peft_model(model, settings)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"tuning: {error}") from None


def save(model: PeftModel, folder: Path) -> bool:
    """Write the adapter into `folder`. True: the stored tensors are the trained ones.

    PiSSA trains against a changed base; its adapter is written as an ordinary one of twice the rank for the
    original base, so its tensors differ while the function is the same.
    """
    initial = folder.parent / INITIAL
    if model.peft_config["default"].init_lora_weights is True or not initial.is_dir():
        model.save_pretrained(str(folder))
        return True
    with warnings.catch_warnings():  # it recommends what is being done
        warnings.filterwarnings("ignore", message="PiSSA changes the base weights")
        model.save_pretrained(str(folder), path_initial_model_for_weight_conversion=str(initial))
    return False


def prepare(model: PeftModel, run: Path) -> None:
    """Write beside the coming result what `save` needs later: for PiSSA, the adapter as it is before training."""
    settings = model.peft_config["default"]
    if not str(settings.init_lora_weights).startswith("pissa"):
        return
    kind = settings.init_lora_weights
    settings.init_lora_weights = True  # a plain adapter on disk; PEFT asks for this before the conversion
    model.save_pretrained(str(run / INITIAL))
    settings.init_lora_weights = kind


def learning_rate_factor(name: str, config: Config) -> float:
    """Return what the learning rate of the parameter `name` is multiplied by: LoRA+ speeds up the B matrices."""
    return config.plus_ratio if config.plus_ratio is not None and ".lora_B." in name else 1.0


def _check_targets(model: nn.Module, targets: str | list[str]) -> None:
    if isinstance(targets, str):
        return
    import torch

    linear = [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    short = sorted({name.rsplit(".", 1)[-1] for name in linear})
    for target in targets:
        if not any(name == target or name.endswith(f".{target}") for name, _ in model.named_modules()):
            raise ConfigError(
                f"tuning.targets: this model has no layer '{target}'{lookup.nearest(target, short) or '.'} "
                f"Its linear layers: {', '.join(short)}."
            )
