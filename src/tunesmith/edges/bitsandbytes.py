"""bitsandbytes' optimisers: AdamW whose moments are held in 8 bits, or paged between GPU and main memory.

And numbers in 8 bits as such, for an AdamW of ours.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

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


class EightBits:
    """Numbers in 8 bits, in groups that have one scale each, spread as bitsandbytes' optimisers spread their moments."""

    def __init__(self, group: int) -> None:
        """Hold `group` numbers by one scale.

        Raises:
            MachineError: bitsandbytes is not installed.
        """
        try:
            from bitsandbytes import functional
        except ImportError:
            raise MachineError(
                "This optimizer needs bitsandbytes, which is not installed. Run: pip install 'tunesmith[quant]'"
            ) from None
        self._functional, self._group = functional, group
        self._codes = {signed: functional.create_dynamic_map(signed=signed) for signed in (True, False)}

    def pack(self, exact: Tensor, signed: bool) -> tuple[Tensor, Tensor]:
        """Return float32 numbers in 8 bits (uint8, of the same shape) and their scales (float32, one dimension)."""
        code = self._codes[signed].to(exact.device)
        codes, state = self._functional.quantize_blockwise(exact.contiguous(), code=code, blocksize=self._group)
        return codes, state.absmax

    def unpack(self, codes: Tensor, scales: Tensor, signed: bool) -> Tensor:
        """Return them in float32 again."""
        code = self._codes[signed].to(codes.device)
        exact: Tensor = self._functional.dequantize_blockwise(
            codes.contiguous(), absmax=scales.contiguous(), code=code, blocksize=self._group
        )
        return exact
