"""Norms and angles of what adapters add to a weight, without building it: traces of r x r matrices.

With dW = s B A, A (r, in), B (out, r), and the inner product <X, Y> = tr(X^T Y) of Frobenius:

    <dW1, dW2> = s1 s2 tr(A1^T B1^T B2 A2) = s1 s2 tr((B1^T B2) (A2 A1^T)) = s1 s2 sum((B1^T B2) * (A1 A2^T))

since tr(X Y^T) = sum(X * Y), element by element. The norm is the root of <dW, dW>, the cosine <dW1, dW2> over both norms.
Everything is float64: A and B are sums of float32 products at most, and the norm of a difference needs the digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .folder import Pair


def inner(first: Pair, second: Pair) -> float:
    """Return <dW1, dW2>; 0 for layers of other shapes would be wrong, so they must have the same."""
    B = first.B.double().T @ second.B.double()
    A = first.A.double() @ second.A.double().T
    return first.scale * second.scale * float((B * A).sum())


def norm(pair: Pair) -> float:
    """Return the Frobenius norm of dW."""
    return math.sqrt(max(inner(pair, pair), 0.0))


def cosine(first: Pair, second: Pair) -> float:
    """Return the cosine of the angle between two dW; NaN where one of them is zero."""
    size = norm(first) * norm(second)
    return inner(first, second) / size if size else math.nan


def squares(made: Pair | None, sources: Sequence[tuple[float, Pair]]) -> tuple[float, float]:
    """Return |dW - S|^2 and |S|^2 for a weighted sum S = sum of w_i dW_i; `made` None stands for dW = 0."""
    wanted = sum(v * w * inner(one, other) for v, one in sources for w, other in sources)
    if made is None:
        return wanted, wanted
    crossed = sum(weight * inner(made, one) for weight, one in sources)
    return max(inner(made, made) - 2 * crossed + wanted, 0.0), wanted
