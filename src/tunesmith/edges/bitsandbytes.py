"""bitsandbytes' optimisers: AdamW whose moments are held in 8 bits, or paged between GPU and main memory."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import MachineError


def adamw(groups: list[dict[str, Any]], bits: int, paged: bool, **options: Any) -> torch.optim.Optimizer:
    """Return AdamW over the groups with moments of 32 or 8 bits; tensors of less than 4096 numbers always have 32.

    Raises:
        MachineError: bitsandbytes is not installed.
    """
    try:
        from bitsandbytes.optim import AdamW
    except ImportError:
        raise MachineError(
            "This optimizer needs bitsandbytes, which is not installed. Run: pip install 'tunesmith[quant]'"
        ) from None
    optimizer: torch.optim.Optimizer = AdamW(groups, optim_bits=bits, is_paged=paged, **options)
    return optimizer
