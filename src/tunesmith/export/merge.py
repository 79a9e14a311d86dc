"""merge(): the adapter folded into the weights of its base; and the tensors of a model under their published names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.core_model_loading import revert_weight_conversion

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@torch.no_grad()
def merge(model: Any) -> PreTrainedModel:
    """Return a model (with PEFT's wrapper or without) with its adapter folded in, in place.

    The base must be held in full precision (`load(..., base="rounded")`): what was rounded while the adapter was trained
    stays rounded, nothing is rounded again. The product of an adapter is float32, and the sum is rounded once, to the
    dtype of the weight.

    An adapter on one of two tied matrices changes that one alone, so they are parted before.
    """
    if not hasattr(model, "merge_and_unload"):
        plain: PreTrainedModel = model
        return plain
    inner: Any = model.get_base_model()
    matrices = (inner.get_input_embeddings(), inner.get_output_embeddings())
    if inner.config.tie_word_embeddings and any(hasattr(matrix, "base_layer") for matrix in matrices):
        head = getattr(matrices[1], "base_layer", matrices[1])
        head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
        inner.config.tie_word_embeddings = False
    merged: PreTrainedModel = model.merge_and_unload(progressbar=False)
    return merged.eval()


def published_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return what a model folder holds: every tensor once, under the name that published folders have."""
    state = model.state_dict()
    tied = getattr(model, "all_tied_weights_keys", {}) if model.config.tie_word_embeddings else {}
    kept = {
        name: tensor
        for name, tensor in state.items()
        if name not in tied or tensor.data_ptr() != state[tied[name]].data_ptr()
    }
    return dict(revert_weight_conversion(model, kept))
