"""Rotary position embedding, half-split form."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_frequencies(base: float, size: int, device: torch.device | str = "cpu") -> Tensor:
    """Return base^(-2j / size) for j = 0 ... size/2 - 1, float32; `size` is the head size K."""
    return 1.0 / base ** (torch.arange(0, size, 2, device=device).float() / size)


def angles(frequencies_J: Tensor, positions_BT: Tensor, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return cos and sin of position times frequency, each (B, T, 2J) float32 and times `scale`.

    frequencies_J: J = K/2 inverse frequencies (K head size); positions_BT: B rows (or one for all), T tokens. The J
    angles stand twice over, as `rotate` wants them. No autocast rounds them.
    """
    turns_BTJ = positions_BT[..., None].float() * frequencies_J.float()
    turns_BTK = torch.cat((turns_BTJ, turns_BTJ), dim=-1)
    return turns_BTK.cos() * scale, turns_BTK.sin() * scale


def rotate(x_BHTK: Tensor, cos_BTK: Tensor, sin_BTK: Tensor) -> Tensor:
    """Turn each pair (x[j], x[j + K/2]) by its angle, in float32 or finer, and give back the input's dtype.

    x_BHTK: B rows, H heads, T tokens, K head size; cos_BTK and sin_BTK: float32, the K/2 angles twice over.
    Source: RoFormer (arXiv 2104.09864) in the half-split layout of Llama and of the published MiniCPM code.
    """
    x = x_BHTK.to(torch.promote_types(x_BHTK.dtype, cos_BTK.dtype))
    low, high = x.chunk(2, dim=-1)
    turned = x * cos_BTK.unsqueeze(1) + torch.cat((-high, low), dim=-1) * sin_BTK.unsqueeze(1)
    return turned.to(x_BHTK.dtype)
