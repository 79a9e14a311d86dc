"""LoRA layers whose training step is one fused step of the graph (`ops/lora.py`); everything else of them is PEFT's.

PEFT builds a layer from the map that `register` puts into its config (its hook for custom modules), so names, files,
loading, merging and export are its own, and so is what is computed where no gradient is recorded: a trained model
gives, bit for bit, what PEFT makes of its files.
"""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners import lora
from torch import Tensor, nn

from ..ops.lora import lora_linear


class FusedLinear(lora.Linear):
    """PEFT's LoRA layer on a plain linear one, with a fused forward and backward pass."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return the base's output and the adapter's, added; fused where that is the same function as PEFT's."""
        name = self._fusible(x) if torch.is_grad_enabled() and not args and not kwargs else None
        if name is None:
            return super().forward(x, *args, **kwargs)
        base, low, high = self.base_layer, self.lora_A[name], self.lora_B[name]
        return lora_linear(x, base.weight, base.bias, low.weight, high.weight, self.scaling[name])

    def _fusible(self, x: Tensor) -> str | None:
        """Return the name of the one adapter at work, or None where the layer does something else.

        Something else are several adapters, none, or a merged one, variants (DoRA), dropout, a bias of the adapter, a
        base that learns, and hooks on the inner layers: whoever has one there (ZeRO stage 3 fetches the weights in it)
        wants them called. Outside of autocast all must have one dtype, else PEFT casts in its own way.
        """
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1:
            return None
        (name,) = self.active_adapters
        if name not in self.lora_A or name in self.lora_variant or self.lora_bias[name]:
            return None
        base, low, high, dropout = self.base_layer, self.lora_A[name], self.lora_B[name], self.lora_dropout[name]
        drops = dropout.training and not isinstance(dropout, nn.Identity)
        learns = any(parameter.requires_grad for parameter in base.parameters())
        hooked = any(one._forward_pre_hooks or one._forward_hooks for one in (base, low, high))
        same = x.dtype == base.weight.dtype == low.weight.dtype == high.weight.dtype
        mixed = not same and not torch.is_autocast_enabled(x.device.type)
        return None if drops or learns or hooked or mixed else name


def register(config: LoraConfig) -> None:
    """Let PEFT build fused layers on plain linear ones; on all others (quantised, convolutions) it builds its own."""

    def build(target: nn.Module, adapter_name: str, **options: Any) -> FusedLinear | None:
        return FusedLinear(target, adapter_name, **options) if type(target) is nn.Linear else None

    config._register_custom_module({nn.Linear: build})
