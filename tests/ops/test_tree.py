"""Attention in a tree: each path gives what it gives alone, and the gradient of a shared token is the sum over them."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from tunesmith.ops.lightning import Decay, block_attention, decay_rates
from tunesmith.ops.tree import Run, tree_attention, tree_linear_attention

RUNS: list[Run] = [(-1, 9, 1), (0, 4, 3), (0, 6, 1), (2, 1, 2), (2, 5, 1), (-1, 3, 2)]
PATHS = [[(0, 0), (1, 0)], [(0, 0), (1, 1)], [(0, 0), (1, 2)], [(0, 0), (2, 0), (3, 0)], [(0, 0), (2, 0), (3, 1)],
         [(0, 0), (2, 0), (4, 0)], [(5, 0)], [(5, 1)]]  # fmt: skip


def places() -> list[torch.Tensor]:
    """Where the tokens of each path stand."""
    starts = [sum(length * count for _, length, count in RUNS[:n]) for n in range(len(RUNS))]
    return [
        torch.cat([torch.arange(RUNS[run][1]) + starts[run] + copy * RUNS[run][1] for run, copy in path])
        for path in PATHS
    ]


def inputs(groups: int = 2) -> list[torch.Tensor]:
    size = sum(length * count for _, length, count in RUNS)
    return [
        torch.randn(1, heads, size, width, dtype=torch.float64, requires_grad=True)
        for heads, width in ((4, 8), (groups, 8), (groups, 6))
    ]


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_paths_give_what_they_give_alone(groups: int, scale: float | None) -> None:
    query, key, value = parts = inputs(groups)
    output = tree_attention(query, key, value, RUNS, scale)
    assert output.shape == (1, query.shape[2], 4, 6)
    weights = [torch.randn(len(place), 4, 6, dtype=torch.float64) for place in places()]
    alone = []
    for place in places():
        own = (x[:, :, place] for x in parts)
        one = scaled_dot_product_attention(*own, is_causal=True, scale=scale, enable_gqa=True)
        alone.append(one.transpose(1, 2)[0])
    for place, one in zip(places(), alone, strict=True):
        torch.testing.assert_close(output[0, place], one)
    shared = sum((output[0, place] * weight).sum() for place, weight in zip(places(), weights, strict=True))
    single = sum((one * weight).sum() for one, weight in zip(alone, weights, strict=True))
    for found, wanted in zip(torch.autograd.grad(shared, parts), torch.autograd.grad(single, parts), strict=True):
        torch.testing.assert_close(found, wanted)


def test_a_tree_of_one_run_is_a_causal_row() -> None:
    query, key, value = inputs()
    size = query.shape[2]
    whole = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(tree_attention(query, key, value, [(-1, size, 1)]), whole.transpose(1, 2))


def test_dropout_is_drawn() -> None:
    parts = inputs()
    first, second = (tree_attention(*parts, RUNS, dropout=0.5) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("block", [2, 128])
def test_linear_attention_gives_what_paths_give_alone(block: int) -> None:
    query, key, value = parts = inputs(groups=4)
    decay = Decay(decay_rates(4, 0, 2), block=block)
    output = tree_linear_attention(query, key, value, decay, RUNS, block_attention)
    assert output.shape == (1, 4, query.shape[2], 6)
    weights = [torch.randn(4, len(place), 6, dtype=torch.float64) for place in places()]
    alone = [block_attention(*(x[:, :, place] for x in parts), decay)[0][0] for place in places()]
    for place, one in zip(places(), alone, strict=True):
        torch.testing.assert_close(output[0][:, place], one)
    shared = sum((output[0][:, place] * weight).sum() for place, weight in zip(places(), weights, strict=True))
    single = sum((one * weight).sum() for one, weight in zip(alone, weights, strict=True))
    for found, wanted in zip(torch.autograd.grad(shared, parts), torch.autograd.grad(single, parts), strict=True):
        torch.testing.assert_close(found, wanted)
