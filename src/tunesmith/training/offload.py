"""Activations in main memory: what the forward pass keeps for the backward pass leaves the GPU and comes back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

SMALL = 2**16
"""Tensors of fewer numbers than this stay: moving them would cost more than it saves."""


class Offload(saved_tensors_hooks):
    """While it is entered, tensors that are kept on `device` for the backward pass are moved to main memory.

    As `torch.autograd.graph.save_on_cpu`, but for the model's own weights, which are on the GPU anyway.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

        def pack(tensor: Tensor) -> Any:
            stays = tensor.device.type != device.type or tensor.numel() < SMALL or tensor.is_sparse
            if stays or tensor.untyped_storage().data_ptr() in own:
                return tensor
            away = torch.empty(tensor.size(), dtype=tensor.dtype, pin_memory=device.type == "cuda")
            return tensor.device, away.copy_(tensor)

        def unpack(packed: Any) -> Tensor:
            if isinstance(packed, Tensor):
                return packed
            home, away = packed
            back: Tensor = away.to(home, non_blocking=True, copy=True)
            return back

        super().__init__(pack, unpack)
