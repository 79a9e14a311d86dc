"""Every other causal language model that the installed transformers runs natively: Llama, Qwen, Granite, Gemma ...

The class is chosen here from the model_type, through transformers' own tables; `auto_map` is never looked at, so no
code of a checkpoint can run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
)

from ..data.chats import chat_for
from ..errors import ModelError
from .family import Family, Head
from .files import stored_dtype, stored_tensors
from .segments import UNFIT
from .weights import build_config, from_folder

# What the configs call the numbers between the output matrix and the logits.
DIVISORS = ("logits_scaling",)
MULTIPLIERS = ("logit_scale", "lm_head_multiplier", "output_multiplier")
_log = logging.getLogger(__name__)
SOFTCAPS = ("final_logit_softcapping", "logits_soft_cap", "softcap")
TOKENS = 8


def recognises(config: dict[str, Any]) -> bool:
    """Tell whether transformers has a causal language model for this model_type, without importing any."""
    kind = config.get("model_type")
    return isinstance(kind, str) and kind in CONFIG_MAPPING_NAMES and kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def has_another_kind(kind: Any) -> bool:
    """Tell whether transformers has models of this model_type, but no causal language model."""
    return isinstance(kind, str) and kind in CONFIG_MAPPING_NAMES and kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES


def load_auto(
    folder: str | Path, config: dict[str, Any], dtype: torch.dtype | None
) -> tuple[PreTrainedModel, list[str]]:
    """Return the model of a folder and the notices that a user should see; `config` is its config.json.

    Raises:
        ModelError: the folder cannot be loaded whole, or it holds no causal language model.
    """
    kind = config["model_type"]
    built = build_config(CONFIG_MAPPING[kind], folder, config)
    if built.is_encoder_decoder:
        raise ModelError(
            f"'{folder}' holds an encoder-decoder model ({kind}). Only causal language models can be tuned."
        )
    stored = stored_tensors(folder)
    model, unused = from_folder(MODEL_FOR_CAUSAL_LM_MAPPING[type(built)], folder, built, dtype or stored_dtype(stored))
    if getattr(built, "is_decoder", True) is False and not _is_causal(model):
        raise ModelError(
            f"'{folder}' holds a {kind} whose tokens see what comes after them. Only causal language models can be "
            "tuned."
        )
    if unused:
        names = ", ".join(unused[:4]) + (" ..." if len(unused) > 4 else "")
        return model, [f"{folder}: {type(model).__name__} has no place for {len(unused)} stored tensors: {names}."]
    return model, []


def find_head(model: PreTrainedModel) -> Head | None:
    """Return the head of a model, or None unless it is proven to compute the model's own logits.

    The proof: both are computed for a few random tokens, as they are and with the head's input scaled up, so that a
    cap on the logits shows itself.
    """
    module = model.get_output_embeddings()
    if not isinstance(module, nn.Module):
        return None
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            plain = _hidden_and_logits(model, module, 1.0)
            largest = float(plain[1].abs().max())
            scaled = _hidden_and_logits(model, module, 100.0 / max(largest, 1e-6))
            return next((head for head in _candidates(module, model.config) if _agrees(head, plain, scaled)), None)
    except UNFIT as error:
        _log.warning(
            "%s cannot be looked into (%s: %s), so the loss is computed from its own logits: right, but slower.",
            type(model).__name__,
            type(error).__name__,
            error,
        )
        return None
    finally:
        model.train(was_training)


def _hidden_and_logits(model: PreTrainedModel, module: nn.Module, factor: float) -> tuple[Tensor, Tensor]:
    """Return the head's input (N, D), times `factor`, and the model's own logits (N, V) for it, a few tokens."""
    ids = _tokens(model)
    hidden = model.get_decoder()(input_ids=ids, use_cache=False)[0]
    scale = module.register_forward_pre_hook(lambda _, inputs: (inputs[0] * factor, *inputs[1:]))
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        scale.remove()
    return hidden.flatten(0, -2) * factor, logits.flatten(0, -2).float()


def _tokens(model: PreTrainedModel) -> Tensor:
    words = model.get_input_embeddings().num_embeddings
    own = torch.Generator().manual_seed(0)  # the global random state stays as it is
    return torch.randint(words, (2, TOKENS), generator=own).to(model.device)


def _candidates(module: nn.Module, config: Any) -> Iterator[Head]:
    def values(names: tuple[str, ...]) -> list[float]:
        found = [getattr(config.get_text_config(), name, None) for name in names]
        return [float(value) for value in found if isinstance(value, (int, float)) and value > 0]

    multipliers = [1.0, *values(MULTIPLIERS), *(1 / value for value in values(DIVISORS))]
    for multiplier, softcap in product(multipliers, [None, *values(SOFTCAPS)]):
        yield Head(module, multiplier=multiplier, softcap=softcap)


def _agrees(head: Head, *measured: tuple[Tensor, Tensor]) -> bool:
    for hidden_ND, logits_NV in measured:
        mine = head(hidden_ND)
        tolerance = 1e-4 if hidden_ND.dtype in (torch.float32, torch.float64) else 2e-2
        if mine.shape != logits_NV.shape or not (mine - logits_NV).abs().max() <= tolerance * logits_NV.abs().max():
            return False
    return True


@torch.no_grad()
def _is_causal(model: PreTrainedModel) -> bool:
    """Tell whether the logits of a token stay the same when the token after it changes."""
    ids = _tokens(model)
    other = ids.clone()
    other[:, -1] = (ids[:, -1] + 1) % model.get_input_embeddings().num_embeddings
    first, second = (model(input_ids=tokens).logits[:, :-1].float() for tokens in (ids, other))
    return bool((first - second).abs().max() <= 1e-3 * first.abs().max())


FAMILY = Family(
    model_type="auto",
    recognises=recognises,
    load=load_auto,
    chat=partial(chat_for, None),
    head=find_head,
)
