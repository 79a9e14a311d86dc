"""fla-core's Triton kernel for decayed linear attention, with the signature of `ops.lightning.block_attention`.

Its `chunk_simple_gla` takes the decay as an argument (`g_gamma`, the logarithm, so -rate); its `chunk_lightning_attn` has
another decay fixed inside, which is wrong for TransNormerLLM. Layouts and arguments: fla-core 0.6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..errors import MachineError
from ..ops.lightning import Decay, Layout, block_attention

Kernel = Callable[..., Any]
"""`chunk_simple_gla`: query, key, value (B, T, H, .) -> output (B, T, H, V) and the last states (N, H, K, V)."""


def load_kernel() -> Kernel:
    """Import fla-core, which needs Triton and takes seconds, and return its kernel.

    Raises:
        MachineError: it is not installed, or cannot be imported.
    """
    try:
        from fla.ops.simple_gla import chunk_simple_gla
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "fla":
            raise MachineError("fla-core is not installed; pip install 'tunesmith[fla]' brings it") from None
        raise MachineError(f"fla-core cannot be imported: {error}") from None
    except Exception as error:  # noqa: BLE001 - Triton looks for drivers and compilers while it is imported
        raise MachineError(f"fla-core cannot be imported: {type(error).__name__}: {error}") from None
    kernel: Kernel = chunk_simple_gla
    return kernel


@dataclass(frozen=True)
class Sequences:
    """Padded and packed rows as N sequences without padding, one behind the other.

    places_L int64: where each of the L real tokens stands in the rows laid end to end. starts_N1 int64: where each
    sequence begins among them, and L (`cu_seqlens`). first_B, last_B int64: the sequences that a row begins and ends
    with. `complete`: every row has a token; of others first_B and last_B say nothing.
    """

    places_L: Tensor
    starts_N1: Tensor
    first_B: Tensor
    last_B: Tensor
    complete: bool

    @classmethod
    def of(cls, layout: Layout) -> Sequences:
        """Cut the rows where a row or a segment begins; padding goes, wherever it stands."""
        rows, tokens = layout.real_BT.shape
        places_L = layout.real_BT.flatten().nonzero().squeeze(1)
        names_L = places_L // tokens * tokens + layout.runs_BT.flatten()[places_L]  # a row has at most T segments
        names_N, lengths_N = torch.unique_consecutive(names_L, return_counts=True)
        row_N = names_N // tokens
        index_B = torch.arange(rows, device=row_N.device)
        first_B = torch.searchsorted(row_N, index_B)
        last_B = torch.searchsorted(row_N, index_B, right=True) - 1
        starts_N1 = pad(lengths_N.cumsum(0), (1, 0))
        return cls(places_L, starts_N1, first_B, last_B, complete=bool((first_B <= last_B).all()))


@dataclass
class FlaAttention:
    """An `Attend` that calls the kernel for values of one dtype on one kind of device.

    It calls `block_attention` instead for values of another dtype or device, and where a row is nothing but padding:
    it is no sequence that a state could pass through. Query and key may be of a finer dtype than the values (LRPE's
    are float32): then all three are. Outputs of padding, which mean nothing, are zeros.
    """

    kernel: Kernel
    device: str
    dtype: torch.dtype
    _newest: tuple[Layout, Sequences] | None = field(default=None, repr=False)

    def __call__(
        self,
        query_BHTK: Tensor,
        key_BHTK: Tensor,
        value_BHTV: Tensor,
        decay: Decay,
        state_BHKV: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return output_BHTV and state_BHKV behind the last token, both float32, as `block_attention`."""
        sequences = None if decay.layout is None else self._sequences(decay.layout)
        known = value_BHTV.device.type == self.device and value_BHTV.dtype == self.dtype
        if not known or (sequences is not None and not sequences.complete):
            return block_attention(query_BHTK, key_BHTK, value_BHTV, decay, state_BHKV)
        dtype = torch.promote_types(torch.promote_types(query_BHTK.dtype, key_BHTK.dtype), value_BHTV.dtype)
        inputs = [x.transpose(1, 2).to(dtype) for x in (query_BHTK, key_BHTK, value_BHTV)]
        first = None if state_BHKV is None else state_BHKV.to(torch.float32)
        if sequences is not None:
            inputs = [x.flatten(0, 1)[sequences.places_L][None] for x in inputs]
            if first is not None:
                none = first.new_zeros(len(sequences.starts_N1) - 1, *first.shape[1:])
                first = none.index_copy(0, sequences.first_B, first)
        output, last = self.kernel(
            *inputs,
            g_gamma=-decay.rate_H.to(torch.float32),
            scale=1.0,  # its default would be K^-0.5
            initial_state=first,
            output_final_state=True,
            cu_seqlens=None if sequences is None else sequences.starts_N1,
        )
        output = output.to(torch.float32)
        if sequences is not None:
            rows, heads, tokens, width = value_BHTV.shape
            none = output.new_zeros(rows * tokens, heads, width)
            output = none.index_copy(0, sequences.places_L, output[0]).unflatten(0, (rows, tokens))
            last = last[sequences.last_B]
        return output.transpose(1, 2), last

    def _sequences(self, layout: Layout) -> Sequences:
        """Return the sequences of a layout: all layers of a model are called with the same one."""
        if self._newest is None or self._newest[0] is not layout:
            self._newest = layout, Sequences.of(layout)
        return self._newest[1]
