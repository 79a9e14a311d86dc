"""Decayed causal linear attention (lightning attention) in three equal forms: naive, block-parallel and recurrent.

    o_i = sum over j <= i of exp(-rate * (n_i - n_j)) (q_i . k_j) v_j

There is no softmax, no scale and no denominator. n_i counts the tokens of the row up to i; padding is passed over: it is
not counted, adds nothing and lets nothing decay, wherever it stands. In a row of several segments j runs over the
segment of i alone. Sources: arXiv 2401.04658 (the block form), arXiv 2307.14995 (the decay).

The block form takes time and memory linear in the number of tokens T: what later tokens need of a block is one matrix
(K, V) for each head, the state. Everything is summed in float32 (float64 for float64 inputs); no exponent is ever
positive, so nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from .loss import at_least_float32

BLOCK = 128
"""Tokens of a block: about the head size, so that the states of all blocks are as large as the output itself."""


def decay_rates(heads: int, layer: int, layers: int, device: torch.device | str | None = None) -> Tensor:
    """Return rate_H, float32: how fast each head of a layer forgets; a token's weight is exp(-rate) one token later.

    The slopes are those of ALiBi (2^(-8 (h + 1) / H) for H a power of two; else those of the next smaller power of two,
    then every other one of its double), times 1 - layer / (layers - 1) + 1e-5. Source: the published modelling code,
    which divides by zero where there is one layer; here that one decays like a first one.
    """
    whole = 1 << (heads.bit_length() - 1)  # the largest power of two that is not above
    slopes = torch.exp2(-8.0 / whole * torch.arange(1, whole + 1, dtype=torch.float32, device=device))
    if heads > whole:
        between = torch.exp2(-4.0 / whole * torch.arange(1, 2 * whole + 1, 2, dtype=torch.float32, device=device))
        slopes = torch.cat((slopes, between[: heads - whole]))
    return slopes * (1 - layer / max(1, layers - 1) + 1e-5)


@dataclass(frozen=True)
class Layout:
    """Where the tokens of padded or packed rows stand.

    real_BT bool: not padding. counts_BT int64: the tokens of the row so far, itself included. runs_BT int64: the number
    of the segment, from 0 on; padding belongs to the segment before it. `packed`: a row has several segments; `holes`:
    padding stands between tokens.
    """

    real_BT: Tensor
    counts_BT: Tensor
    runs_BT: Tensor
    packed: bool
    holes: bool

    @classmethod
    def of(cls, segments_BT: Tensor) -> Layout:
        """Read an attention mask: 0 is padding, other numbers are segments (0/1 or bool: one segment)."""
        segments_BT = segments_BT.to(torch.int64)
        real_BT = segments_BT != 0
        index_T = torch.arange(segments_BT.shape[1], device=segments_BT.device)
        last_BT = torch.where(real_BT, index_T, -1).cummax(dim=1).values  # the last token up to here
        first_B1 = real_BT.to(torch.int8).argmax(dim=1, keepdim=True)
        filled_BT = segments_BT.gather(1, torch.maximum(last_BT, first_B1))
        runs_BT = pad(filled_BT[:, 1:] != filled_BT[:, :-1], (1, 0)).cumsum(dim=1)
        if segments_BT.shape[1] == 1:  # a step of generation: nothing to ask the device for
            return cls(real_BT, real_BT.cumsum(dim=1), runs_BT, packed=False, holes=False)
        hole_BT = real_BT[:, 1:] & ~real_BT[:, :-1] & (last_BT[:, :-1] >= 0)
        packed, holes = torch.stack((runs_BT.any(), hole_BT.any())).tolist()
        return cls(real_BT, real_BT.cumsum(dim=1), runs_BT, packed, holes)


@dataclass(frozen=True)
class Decay:
    """How each head forgets (rate_H > 0, as from `decay_rates`; it gets no gradient), and where the tokens stand.

    `layout`: None where no row is padded or packed. `block`: tokens of a block, for the block form alone.
    """

    rate_H: Tensor
    layout: Layout | None = None
    block: int = BLOCK


Attend = Callable[[Tensor, Tensor, Tensor, Decay, "Tensor | None"], tuple[Tensor, Tensor]]
"""The signature of `block_attention` and of every kernel that can stand in for it."""


def naive_attention(
    query_BHTK: Tensor,
    key_BHTK: Tensor,
    value_BHTV: Tensor,
    decay: Decay,
    state_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return output_BHTV and the state behind the last token: the definition, with (T, T) weights."""
    query, key, value = (at_least_float32(x) for x in (query_BHTK, key_BHTK, value_BHTV))
    layout = decay.layout or Layout.of(
        torch.ones(query.shape[0], query.shape[2], dtype=torch.int64, device=query.device)
    )
    value = value.masked_fill(~layout.real_BT[:, None, :, None], 0)
    counts, runs = layout.counts_BT[:, None], layout.runs_BT[:, None]
    rate = decay.rate_H.to(value.dtype)[:, None]
    gaps = (counts[..., :, None] - counts[..., None, :]).clamp(min=0)
    sees = (runs[..., :, None] == runs[..., None, :]).tril()
    weights_BHTT = torch.where(sees, torch.exp(-rate[..., None] * gaps), 0.0)
    output = (query @ key.transpose(-1, -2) * weights_BHTT) @ value
    behind = torch.where(runs == runs[..., -1:], torch.exp(-rate * (counts[..., -1:] - counts)), 0.0)
    state = (key * behind[..., None]).transpose(-1, -2) @ value
    if state_BHKV is not None:
        since = torch.where(runs == 0, torch.exp(-rate * counts), 0.0)
        output = output + (query * since[..., None]) @ state_BHKV
        state = state + since[..., -1:, None] * state_BHKV
    return output, state


def recurrent_attention(
    query_BHK: Tensor,
    key_BHK: Tensor,
    value_BHV: Tensor,
    rate_H: Tensor,
    state_BHKV: Tensor,
    real_B: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return output_BHV and the next state for one token of each row; real_B bool: it is not padding."""
    query, key, value = (x.to(state_BHKV.dtype) for x in (query_BHK, key_BHK, value_BHV))
    rate_BH = rate_H.to(state_BHKV.dtype)[None]
    if real_B is not None:
        rate_BH, value = rate_BH * real_B[:, None], value.masked_fill(~real_B[:, None, None], 0)
    state = torch.exp(-rate_BH)[..., None, None] * state_BHKV + key[..., :, None] * value[..., None, :]
    with _without_autocast(state):
        return (query[..., None, :] @ state).squeeze(-2), state


def block_attention(
    query_BHTK: Tensor,
    key_BHTK: Tensor,
    value_BHTV: Tensor,
    decay: Decay,
    state_BHKV: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return output_BHTV and state_BHKV behind the last token, both float32 (float64 for float64 inputs).

    B rows, T tokens, H heads, K and V head sizes. `state_BHKV`: what came before the first token (of its segment);
    None: nothing.
    """
    rows, heads, _, size = query_BHTK.shape
    if decay.layout is not None:
        value_BHTV = value_BHTV.masked_fill(~decay.layout.real_BT[:, None, :, None], 0)
    if state_BHKV is None:
        kind = torch.promote_types(value_BHTV.dtype, torch.float32)
        state_BHKV = value_BHTV.new_zeros(rows, heads, size, value_BHTV.shape[-1], dtype=kind)
    output, state = _BlockAttention.apply(  # type: ignore[no-untyped-call]
        query_BHTK, key_BHTK, value_BHTV, state_BHKV, decay
    )
    return output, state


def _without_autocast(x: Tensor) -> Any:
    """Return a context in which sums stay in float32, whatever precision training asks of matrix products."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


@dataclass(frozen=True)
class _Decays:
    """What is multiplied inside and between the N blocks of C tokens; the first block is filled up at its front.

    inside (., H, ., C, C): a token's weight for another; since (., H, N, C, 1): of the state before the block for a
    token; until (., H, N, C, 1): of a token for the state behind the block; across (., H, N, 1, 1): of the state before
    the block for the one behind it.
    """

    inside: Tensor
    since: Tensor
    until: Tensor
    across: Tensor

    @classmethod
    def of(cls, decay: Decay, dtype: torch.dtype, tokens: int) -> _Decays:
        rate_H, layout, block = decay.rate_H.to(dtype), decay.layout, min(decay.block, tokens)
        front = -tokens % block
        index_T = torch.arange(1, tokens + 1, device=rate_H.device)
        counts = pad((index_T[None] if layout is None else layout.counts_BT), (front, 0))
        counts = counts.unflatten(1, (-1, block))[:, None]  # (., 1, N, C)
        counts = counts - pad(counts[..., :-1, -1:], (0, 0, 1, 0))  # from the block's start on
        total, rate = counts[..., -1:], rate_H[:, None, None]
        since, until, across = (torch.exp(-rate * gap) for gap in (counts, total - counts, total))
        if layout is not None and layout.holes:
            gaps = (counts[..., :, None] - counts[..., None, :]).clamp(min=0)
        else:
            index_C = torch.arange(block, device=rate_H.device)
            gaps = (index_C[:, None] - index_C).clamp(min=0)[None, None, None]
        inside = torch.exp(-rate[..., None] * gaps).tril()
        if layout is not None and layout.packed:
            runs = pad(layout.runs_BT, (front, 0)).unflatten(1, (-1, block))[:, None]
            before, last = pad(runs[..., :-1, -1:], (0, 0, 1, 0)), runs[..., -1:]
            since, until, across = since * (runs == before), until * (runs == last), across * (last == before)
            inside = inside * (runs[..., :, None] == runs[..., None, :])
        return cls(inside, since[..., None], until[..., None], across[..., None])


class _BlockAttention(torch.autograd.Function):
    """The block form and its backward, which keeps the inputs alone: scores and states are computed again."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, state: Tensor, decay: Decay
    ) -> tuple[Tensor, Tensor]:
        """Return output (B, H, T, V) and the last state (B, H, K, V)."""
        ctx.save_for_backward(query, key, value, state)
        ctx.decay, tokens = decay, query.shape[2]
        decays, block = _Decays.of(decay, state.dtype, tokens), min(decay.block, tokens)
        q, k, v = (_blocks(x, block) for x in (query, key, value))
        with _without_autocast(query):
            states = _states(state, decays, k, v)
            output = (q @ k.transpose(-1, -2)).mul_(decays.inside) @ v
            output += (q * decays.since) @ states[:, :, :-1]
        return output.flatten(2, 3)[:, :, -tokens:], states[:, :, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output_grad: Tensor, state_grad: Tensor) -> Any:
        """Return the gradients of query, key, value and the first state."""
        with _without_autocast(output_grad):
            return (*_gradients(ctx.saved_tensors, ctx.decay, output_grad, state_grad), None)


def _gradients(
    inputs: tuple[Tensor, Tensor, Tensor, Tensor], decay: Decay, output_grad: Tensor, state_grad: Tensor
) -> tuple[Tensor, ...]:
    """Return the gradients of query, key, value and the first state, `inputs`."""
    *qkv, state = inputs
    tokens = output_grad.shape[2]
    block, decays = min(decay.block, tokens), _Decays.of(decay, state.dtype, tokens)
    q, k, v, o = (_blocks(x, block) for x in (*qkv, output_grad))
    states = _states(state, decays, k, v)[:, :, :-1]
    # The gradient of each block's last state: what the block behind it asks of its first one.
    asked = (q * decays.since).transpose(-1, -2) @ o
    grads = torch.empty_like(asked)
    running = state_grad.to(asked.dtype)
    for number in range(asked.shape[2] - 1, -1, -1):
        grads[:, :, number] = running
        running = torch.addcmul(asked[:, :, number], decays.across[:, :, number], running)
    weights = (o @ v.transpose(-1, -2)).mul_(decays.inside)
    q_grad = weights @ k
    q_grad += (o @ states.transpose(-1, -2)).mul_(decays.since)
    k_grad = weights.transpose(-1, -2) @ q
    k_grad += (v @ grads.transpose(-1, -2)).mul_(decays.until)
    weights = torch.matmul(q, k.transpose(-1, -2), out=weights).mul_(decays.inside)
    v_grad = weights.transpose(-1, -2) @ o
    v_grad += (k * decays.until) @ grads
    found = zip((q_grad, k_grad, v_grad), qkv, strict=True)
    return (*(grad.flatten(2, 3)[:, :, -tokens:].to(x.dtype) for grad, x in found), running)


def _blocks(x_BHTX: Tensor, block: int) -> Tensor:
    """Return (B, H, N, C, X), float32 or finer, with zeros in front of the first tokens."""
    x_BHTX = at_least_float32(x_BHTX)
    return pad(x_BHTX, (0, 0, -x_BHTX.shape[2] % block, 0)).unflatten(2, (-1, block))


def _states(first_BHKV: Tensor, decays: _Decays, key: Tensor, value: Tensor) -> Tensor:
    """Return the state before each block and, last, behind the last one: (B, H, N + 1, K, V)."""
    added = (key * decays.until).transpose(-1, -2) @ value
    states = [first_BHKV]
    for number in range(added.shape[2]):
        states.append(torch.addcmul(added[:, :, number], decays.across[:, :, number], states[-1]))
    return torch.stack(states, dim=2)
