"""The order of rows: each once an epoch, a function of (seed, epoch) alone, batches of similar length."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from tunesmith.data.order import Deal, EpochOrder, TokenOrder, shuffled

LENGTHS = np.random.default_rng(0).integers(5, 500, size=1003)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 200), st.integers(1, 9), st.integers(-5, 2**70), st.integers(0, 50), st.booleans())
def test_every_index_once(count: int, batch_size: int, seed: int, epoch: int, group: bool) -> None:
    lengths = np.arange(count) % 7
    order = EpochOrder(lengths, batch_size, seed, group)
    order.set_epoch(epoch)
    assert sorted(order) == list(range(count)) and len(order) == count


@pytest.mark.parametrize("group", [False, True])
def test_depends_on_seed_and_epoch_alone(group: bool) -> None:
    order = EpochOrder(LENGTHS, 8, seed=1, group_by_length=group)
    first = list(order)
    np.random.seed(3)
    assert list(order) == first  # iterating changes nothing
    order.set_epoch(1)
    second = list(order)
    order.set_epoch(0)
    assert list(order) == first != second
    assert list(EpochOrder(LENGTHS, 8, seed=2, group_by_length=group)) != first
    assert all(type(index) is int for index in first)


def test_the_order_is_the_same_for_ever() -> None:
    assert shuffled(12, 42, 0).tolist() == [2, 3, 7, 0, 11, 4, 9, 10, 5, 6, 8, 1]
    assert shuffled(6, -1).tolist() == [0, 4, 2, 1, 5, 3]
    assert shuffled(0, 1).tolist() == []


def test_shuffling_is_fair() -> None:
    """Each number is at each place about equally often, and neighbours are not kept together."""
    count, rounds = 10, 4000
    orders = np.stack([shuffled(count, seed, 0, 0) for seed in range(rounds)])
    seen = np.stack([(orders == number).sum(0) for number in range(count)])
    expected = rounds / count
    assert ((seen - expected) ** 2 / expected).sum() < 150  # chi-square with 81 degrees of freedom, p < 1e-5 above
    assert abs((np.diff(orders, axis=1) == 1).mean() - 1 / count) < 0.02


def test_grouping_saves_padding() -> None:
    def padded(order: EpochOrder) -> int:
        batches = LENGTHS[list(order)[:1000]].reshape(-1, 8)
        return int((batches.max(1) * 8).sum())

    plain, grouped = (EpochOrder(LENGTHS, 8, 0, group) for group in (False, True))
    total = int(LENGTHS.sum())
    assert padded(plain) > 1.5 * total and padded(grouped) < 1.05 * total
    lengths = LENGTHS[list(grouped)[:1000]].reshape(-1, 8).mean(1)
    assert abs(np.corrcoef(lengths[:-1], lengths[1:])[0, 1]) < 0.3, "short batches must not come first"


def test_works_as_a_sampler() -> None:
    order = EpochOrder(LENGTHS[:20], 4, 0, group_by_length=True)
    loader = DataLoader(list(range(20)), batch_size=4, sampler=order)
    assert [index for batch in loader for index in batch.tolist()] == list(order)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 60), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_ranks_share_the_rows_of_a_step(count: int, size: int, world: int, accumulation: int, group: bool) -> None:
    """A step has the same rows however it is cut: none lost, none twice, and every rank has as many batches."""

    def steps(size: int, world: int, accumulation: int) -> list[list[int]]:
        ranks = []
        for rank in range(world):
            order = EpochOrder(np.arange(count) % 7, size, 3, group, accumulation * world)
            ranks.append(list(Deal(order, size, rank, world)))
        assert len({len(batches) for batches in ranks}) == 1
        return [
            sorted(row for batches in ranks for batch in batches[start : start + accumulation] for row in batch)
            for start in range(0, len(ranks[0]), accumulation)
        ]

    cut = steps(size, world, accumulation)
    assert cut == steps(size * world * accumulation, 1, 1)
    assert sorted(row for step in cut for row in step) == list(range(count))


def test_deal_in_a_loader() -> None:
    """The loader's batches are those of the rank; where nothing is left the batch is empty."""
    loader = DataLoader(list(range(10, 15)), batch_sampler=Deal(range(5), 2, 1, 2), collate_fn=list)
    assert list(loader) == [[12, 13], []] and len(loader) == 2
    order = EpochOrder(np.ones(8, np.int64), 2, 0)
    deal = Deal(order, 2)
    first = list(deal)
    deal.set_epoch(1)
    assert order.epoch == 1 and list(deal) != first


# --- batches of a number of tokens -----------------------------------------------------------------------------------


def starts_of(count: int) -> np.ndarray:
    """Beginnings in three levels: rows that begin alike are scattered over all lengths."""
    number = np.arange(count, dtype=np.uint64)[:, None]
    return number % np.array([2, 4, 8], np.uint64)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=90), st.integers(8, 120), st.integers(0, 2**40), st.booleans())
def test_batches_of_tokens(lengths: list[int], tokens: int, seed: int, shared: bool) -> None:
    """Each row once, in batches that hold no more than the tokens, of which every epoch has as many."""
    taken = np.array(lengths, np.int64)
    order = TokenOrder(taken, tokens, seed, starts_of(len(taken)) if shared else None)
    for epoch in (0, 1, 5):
        order.set_epoch(epoch)
        batches = order.batches()
        assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
        assert list(order) == [row for batch in batches for row in batch] and len(order) == len(lengths)
        assert len(batches) == order.batch_count and all(batches)
        assert all(len(batch) == 1 or len(batch) * taken[batch].max() <= tokens for batch in batches)


def test_batches_of_tokens_are_full_and_drawn_anew() -> None:
    order = TokenOrder(LENGTHS, 4096, 3)
    first = order.batches()
    filled = [len(batch) * int(LENGTHS[batch].max()) for batch in first]
    assert np.mean(filled) > 0.9 * 4096 and LENGTHS.sum() > 0.97 * sum(filled)
    means = [LENGTHS[batch].mean() for batch in first]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3, "short batches must not come first"
    assert first == TokenOrder(LENGTHS, 4096, 3).batches() != TokenOrder(LENGTHS, 4096, 4).batches()
    order.set_epoch(1)
    second = order.batches()
    assert {frozenset(batch) for batch in second} != {frozenset(batch) for batch in first}
    order.set_epoch(0)
    assert order.batches() == first


def test_batches_of_tokens_keep_together_what_begins_alike() -> None:
    starts = (np.arange(len(LENGTHS), dtype=np.uint64) % np.uint64(7))[:, None]
    order = TokenOrder(LENGTHS, 4096, 3, starts)
    first = order.batches()
    assert np.mean([len(set(starts[batch, 0].tolist())) for batch in first]) < 1.2
    order.set_epoch(1)
    second = order.batches()
    assert second != first and sorted(map(sorted, second)) == sorted(map(sorted, first))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=60), st.integers(1, 4))
def test_ranks_share_batches_of_tokens(lengths: list[int], world: int) -> None:
    """Batch b is of rank b % world, and every rank has as many: what one rank would take one after the other."""
    ranks = [list(Deal(TokenOrder(np.array(lengths, np.int64), 64, 5), 8, rank, world)) for rank in range(world)]
    alone = TokenOrder(np.array(lengths, np.int64), 64, 5).batches()
    assert len({len(batches) for batches in ranks}) == 1
    dealt = [batch for together in zip(*ranks, strict=True) for batch in together]
    assert dealt == alone + [[]] * (len(dealt) - len(alone)) and len(dealt) - len(alone) < world
