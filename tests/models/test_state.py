"""The cache of linear attention, on its own; with a model it is tested in test_transnormer.py."""

from __future__ import annotations

import pytest
import torch

from tunesmith.models.state import StateCache


def filled() -> StateCache:
    cache = StateCache(2)
    cache.states = [torch.arange(3.0).view(3, 1, 1, 1), None]
    cache.passed(5, torch.tensor([5, 4, 3]))
    return cache


def test_counts() -> None:
    cache = StateCache(2)
    assert (len(cache), cache.get_seq_length(), cache.batch_size, cache.is_initialized) == (2, 0, -1, False)
    cache = filled()
    cache.passed(1, torch.tensor([6, 5, 4]))
    assert (cache.get_seq_length(), cache.batch_size, cache.is_initialized) == (6, 3, True)
    assert cache.get_mask_sizes(2, 0) == (8, 0) and cache.get_max_length() == -1
    assert not cache.is_compileable and not cache.is_croppable


def test_rows() -> None:
    cache = filled()
    cache.reorder_cache(torch.tensor([2, 0]))
    assert cache.states[0] is not None and cache.states[0].flatten().tolist() == [2.0, 0.0]
    cache.batch_repeat_interleave(2)
    assert cache.next_B is not None and cache.next_B.tolist() == [3, 3, 5, 5]


def test_reset() -> None:
    cache = filled()
    cache.reset()
    assert (cache.states, cache.next_B, cache.get_seq_length()) == ([None, None], None, 0)


def test_nothing_can_be_taken_back() -> None:
    filled().crop(0)
    with pytest.raises(ValueError, match="cannot be cropped"):
        filled().crop(1)
