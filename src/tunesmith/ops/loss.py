"""The loss: a sum over label tokens that never holds the logits of the whole batch, nor of tokens without a label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

IGNORE = -100
CHUNK_BYTES = 64 * 2**20
"""Size of one chunk of float32 logits; small enough to be cheap, large enough for full matrix speed."""
LEAST_ROWS = 16
"""Rows of a chunk, however many words there are: fewer would read the matrix too often."""
Score = Callable[[Tensor], Tensor]
"""A head: hidden states (N, D) -> logits (N, V), float32 or finer. `words` on it, if it is there, is V."""


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` in float32, or as it is where it is finer."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def plain_loss(logits_BTV: Tensor, labels_BT: Tensor, weights_BT: Tensor | None = None) -> Tensor:
    """Return the sum of the next-token cross entropy over labels != -100: the definition, used as reference.

    logits_BTV at position t predict labels_BT at t+1 (B rows, T tokens, V words). weights_BT, aligned with the labels,
    multiply the cross entropy of each. The result is a float32 scalar (float64 for float64 logits).
    """
    logits = at_least_float32(logits_BTV[:, :-1].flatten(0, 1))
    weights = None if weights_BT is None else weights_BT[:, 1:].flatten()
    return _cross_entropy(logits, labels_BT[:, 1:].flatten(), weights)


def _cross_entropy(logits_NV: Tensor, labels_N: Tensor, weights_N: Tensor | None) -> Tensor:
    """Return the sum of the cross entropy of each label, times its weight; labels of -100 count 0."""
    if weights_N is None:
        return nn.functional.cross_entropy(logits_NV, labels_N, ignore_index=IGNORE, reduction="sum")
    each_N = nn.functional.cross_entropy(logits_NV, labels_N, ignore_index=IGNORE, reduction="none")
    return (each_N * weights_N).sum()


def chunk_rows(words: int) -> int:
    """Return how many rows of logits over this many words make a chunk."""
    return max(LEAST_ROWS, CHUNK_BYTES // (4 * words))


def _words(head: Score, hidden_ND: Tensor) -> int:
    """Return the size of the vocabulary: what the head says of itself, or else the width of one row of logits."""
    known: int | None = getattr(head, "words", None)
    if known is not None:
        return known
    with torch.no_grad():
        return head(hidden_ND[:1]).shape[-1]


def label_loss(
    hidden_BTD: Tensor,
    labels_BT: Tensor,
    head: Score,
    head_parameters: Sequence[Tensor] = (),
    weights_BT: Tensor | None = None,
    places_BT: Tensor | None = None,
) -> Tensor:
    """Return the same sum as `plain_loss` without holding the logits.

    The one shift of the project is here: hidden_BTD at t meets labels_BT and weights_BT at t+1. Only positions with a
    label pass through `head` ((N, D) -> (N, V) float32 or finer, the family's scaling included), some at a time; the
    gradients of each chunk are taken at once, so that its logits can go. `head_parameters` are the parameters of the
    head that learn: each is handed in so that autograd sees it; none for a frozen head, whose gradient is then never
    computed. `places_BT`: as in `labelled`.
    """
    hidden_ND, labels_N = labelled(hidden_BTD, labels_BT, places_BT)
    if not torch.is_grad_enabled():
        hidden_ND, head_parameters = hidden_ND.detach(), ()
    loss: Tensor = _ChunkedLoss.apply(  # type: ignore[no-untyped-call]
        hidden_ND, labels_N, label_weights(labels_BT, weights_BT), head, *head_parameters
    )
    return loss


def label_weights(labels_BT: Tensor, weights_BT: Tensor | None) -> Tensor | None:
    """Return the weights of the labels that count, (N,), in the order of `labelled`."""
    return None if weights_BT is None else weights_BT[:, 1:][labels_BT[:, 1:] != IGNORE]


def labelled(hidden_BTD: Tensor, labels_BT: Tensor, places_BT: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the labels, (N,), and the hidden states that predict them, (N, D): those of the tokens before.

    Where rows share tokens (`ops/tree.py`), hidden_BTD are those of a forest, and places_BT says where each token of the
    rows stands in it: the last token that rows share predicts the next one of each.
    """
    keep_BT = labels_BT[:, 1:] != IGNORE
    if places_BT is None:
        return hidden_BTD[:, :-1][keep_BT], labels_BT[:, 1:][keep_BT]
    return hidden_BTD.flatten(0, 1).index_select(0, places_BT[:, :-1][keep_BT]), labels_BT[:, 1:][keep_BT]


def label_logps(hidden_BTD: Tensor, labels_BT: Tensor, head: Score, places_BT: Tensor | None = None) -> Tensor:
    """Return the log-probability of each label, (N,), row by row, in float32 or finer, without holding the logits.

    Which labels these are, the shift and `places_BT` are as in `label_loss`. A gradient may be given to each: so the logits of a
    chunk are computed once more in the backward pass, where that of the head's parameters needs it.
    """
    hidden_ND, labels_N = labelled(hidden_BTD, labels_BT, places_BT)

    def logps(hidden: Tensor, labels: Tensor) -> Tensor:
        return -nn.functional.cross_entropy(head(hidden), labels, reduction="none")

    size = chunk_rows(_words(head, hidden_ND))
    pieces = [slice(start, start + size) for start in range(0, max(len(labels_N), 1), size)]
    parts = [checkpoint(logps, hidden_ND[piece], labels_N[piece], use_reentrant=False) for piece in pieces]
    return torch.cat(parts)


class _ChunkedLoss(torch.autograd.Function):
    """Cross entropy summed over chunks; forward takes the gradients with it, backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        labels_N: Tensor,
        weights_N: Tensor | None,
        head: Score,
        *parameters: Tensor,
    ) -> Tensor:
        """Return the sum; keep its gradients with respect to the hidden states and the parameters."""
        needs_hidden, needs = ctx.needs_input_grad[0], ctx.needs_input_grad[4:]
        learning = [parameter for parameter, need in zip(parameters, needs, strict=True) if need]
        total = at_least_float32(hidden_ND.new_zeros(()))
        hidden_grad = torch.zeros_like(hidden_ND) if needs_hidden else None
        # Summed over many chunks: bfloat16 would lose the small ones.
        sums = [at_least_float32(torch.zeros_like(parameter)) for parameter in learning]
        size = chunk_rows(_words(head, hidden_ND)) if len(labels_N) else 1
        for start in range(0, len(labels_N), size):
            piece = slice(start, start + size)
            with torch.set_grad_enabled(needs_hidden or bool(learning)):
                hidden = hidden_ND[piece].detach().requires_grad_(needs_hidden)
                logits = head(hidden)
                loss = _cross_entropy(logits, labels_N[piece], None if weights_N is None else weights_N[piece])
            wanted = [hidden, *learning] if needs_hidden else learning
            grads = list(torch.autograd.grad(loss, wanted, allow_unused=True)) if wanted else []
            if hidden_grad is not None:
                hidden_grad[piece] = grads.pop(0)
            for total_grad, grad in zip(sums, grads, strict=True):
                if grad is not None:
                    total_grad += grad
            total += loss.detach()
            del logits, loss, grads
        ctx.save_for_backward(hidden_grad, *sums)
        ctx.needs, ctx.dtypes = needs, [parameter.dtype for parameter in learning]
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> Any:
        """Return the kept gradients times `scale`, None for what needs none; those of a head in place: it may be large."""
        hidden_grad, *kept = ctx.saved_tensors
        grads = iter([grad.mul_(scale).to(dtype) for grad, dtype in zip(kept, ctx.dtypes, strict=True)])
        first = None if hidden_grad is None else scaled(hidden_grad, scale)
        return (first, None, None, None, *(next(grads) if need else None for need in ctx.needs))


def scaled(grad: Tensor, scale: Tensor) -> Tensor:
    """Return their product, taken in float32: `scale` itself may be too large for float16 (loss scaling)."""
    return (at_least_float32(grad) * scale).to(grad.dtype)
