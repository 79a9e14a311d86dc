"""Family: how to recognise, build, chat with and tune the models of one model_type.

A family is one file, `models/<model_type>.py`, that exports `FAMILY`. `auto.py` serves every other causal LM.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from .. import lookup
from ..errors import ModelError
from ..ops.loss import at_least_float32
from ..ops.matrix_loss import Matrix

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

    from ..data.chat import ChatFormat
    from ..data.tokenizer import TextTokenizer


@dataclass(frozen=True)
class Head:
    """How a model turns the hidden states after its final norm into logits.

    logits = cap(module(hidden / divisor) * multiplier), with cap(x) = softcap * tanh(x / softcap) where a cap is set.
    `multiplier` acts after the module (Cohere's logit_scale), `divisor` before it (MiniCPM's width).
    """

    module: nn.Module
    divisor: float = 1.0
    multiplier: float = 1.0
    softcap: float | None = None

    @property
    def words(self) -> int | None:
        """The size of the vocabulary; None where the module does not say it."""
        return getattr(self.module, "out_features", None)

    @property
    def matrix(self) -> Matrix | None:
        """The head as one matrix; None where it is more than that, an adapter or a cap on the logits for example.

        Hooks count as more: something is to happen when the module is called.
        """
        module = self.module
        if (
            type(module) is not nn.Linear
            or self.softcap is not None
            or module._forward_pre_hooks
            or module._forward_hooks
        ):
            return None
        if module.bias is not None and self.multiplier != 1.0:
            return None
        return Matrix(module.weight, module.bias, self.multiplier / self.divisor)

    def __call__(self, hidden_ND: Tensor) -> Tensor:
        """Return logits (N, V) of hidden states (N, D), in float32 (float64 for a float64 model)."""
        if self.divisor != 1.0:
            hidden_ND = hidden_ND / self.divisor
        logits_NV: Tensor = at_least_float32(self.module(hidden_ND))
        if self.multiplier != 1.0:
            logits_NV = logits_NV * self.multiplier
        if self.softcap is not None:
            logits_NV = self.softcap * (logits_NV / self.softcap).tanh()
        return logits_NV


@dataclass(frozen=True)
class Family:
    """What tunesmith knows of a model_type.

    `load(folder, config, dtype)` builds the model with its weights (`dtype` None: as stored) and returns it with the
    notices that a user should see; `chat(tokenizer, config)` gives its chat format; `head(model)` its output head, or
    None where the head is unknown and the model's own logits must be used;
    `lora_targets` are the layer names that LoRA acts on by default (a list, or PEFT's "all-linear"). `parts` are the
    parts that can learn or stay frozen by themselves, each with the path of its module (the longest path counts); none:
    the model is one part. `frozen` are parameters that stay as they are when the whole model is tuned.
    """

    model_type: str
    recognises: Callable[[dict[str, Any]], bool]
    load: Callable[[Path, dict[str, Any], torch.dtype | None], tuple[PreTrainedModel, list[str]]]
    chat: Callable[[TextTokenizer, Mapping[str, Any]], ChatFormat]
    head: Callable[[Any], Head | None]
    lora_targets: str | tuple[str, ...] = "all-linear"
    parts: Mapping[str, str] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()


def families() -> list[Family]:
    """Return all native families, in the order of their file names, with `auto` last."""
    modules = [lookup.find(__package__, name) for name in lookup.names(__package__) if name != "auto"]
    found = [module.FAMILY for module in modules if hasattr(module, "FAMILY")]
    return [*found, importlib.import_module(".auto", __package__).FAMILY]


def family_of(config: dict[str, Any], folder: str | Path) -> Family:
    """Return the family that recognises the content of a folder's config.json.

    Raises:
        ModelError: neither a native family nor transformers knows the model_type.
    """
    known = families()
    for family in known:
        if family.recognises(config):
            return family
    kind = config.get("model_type")
    native = sorted(family.model_type for family in known if family.model_type != "auto")
    found = f"model_type {kind!r} is not known here" if kind else "there is no model_type"
    close = difflib.get_close_matches(str(kind), native, n=1)
    if importlib.import_module(".auto", __package__).has_another_kind(kind):
        raise ModelError(
            f"{folder}/config.json: transformers knows model_type {kind!r}, but not as a causal language model over text. "
            "Of models that see or hear, only MiniCPM-V 2.0 (minicpmv) can be used so far."
        )
    raise ModelError(
        f"{folder}/config.json: {found}{f' (did you mean {close[0]!r}?)' if close else ''}. Native: "
        f"{', '.join(native)}; besides these, every causal language model of the installed transformers. Code from a "
        "checkpoint is never executed; if a newer transformers knows this model, upgrade it."
    )
