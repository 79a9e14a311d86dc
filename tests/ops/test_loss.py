"""The chunked loss against its definition: the same value and the same gradients, whatever the head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tunesmith.ops import loss as module
from tunesmith.ops.loss import IGNORE, label_loss, plain_loss


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make several chunks of few rows."""
    monkeypatch.setattr(module, "LEAST_ROWS", 2)
    monkeypatch.setattr(module, "CHUNK_BYTES", 4 * 11 * 3)
    yield


class LowRank(nn.Module):
    """A head with an adapter: the base is frozen, A and B learn."""

    def __init__(self, size: int, words: int) -> None:
        super().__init__()
        self.base = nn.Linear(size, words, bias=False).requires_grad_(False)
        self.low, self.high = nn.Linear(size, 2, bias=False), nn.Linear(2, words, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + 0.5 * self.high(self.low(x))


def heads(size: int, words: int) -> dict[str, nn.Module]:
    bias_only = nn.Linear(size, words)
    bias_only.weight.requires_grad_(False)
    return {
        "frozen": nn.Linear(size, words, bias=False).requires_grad_(False),
        "learning": nn.Linear(size, words, bias=False),
        "bias": nn.Linear(size, words),
        "bias only": bias_only,
        "adapter": LowRank(size, words),
    }


def grads(
    compute: Callable[[Tensor], Tensor], hidden: Tensor, head: nn.Module, scale: float
) -> tuple[Tensor, list[Tensor | None]]:
    head.zero_grad()
    hidden = hidden.clone().requires_grad_(True)
    value = compute(hidden)
    (value * scale).backward()
    return value.detach(), [hidden.grad, *(parameter.grad for parameter in head.parameters())]


def compare(hidden: Tensor, labels: Tensor, head: nn.Module, tolerance: float, scale: float = 1.0) -> None:
    learning = [parameter for parameter in head.parameters() if parameter.requires_grad]

    def through(states: Tensor) -> Tensor:
        logits: Tensor = head(states / 1.7) * 2.0
        return logits

    plain = grads(lambda states: plain_loss(through(states), labels), hidden, head, scale)
    fast = grads(lambda states: label_loss(states, labels, through, learning), hidden, head, scale)
    torch.testing.assert_close(fast[0], plain[0], rtol=tolerance, atol=tolerance)
    for mine, theirs in zip(fast[1], plain[1], strict=True):
        if theirs is None:
            assert mine is None
        else:
            torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["frozen", "learning", "bias", "bias only", "adapter"])
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 4),
    tokens=st.integers(1, 9),
    size=st.integers(1, 6),
    words=st.integers(1, 11),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
    double=st.booleans(),
)
def test_same_value_and_gradients(
    kind: str, rows: int, tokens: int, size: int, words: int, share: float, seed: int, double: bool
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        dtype, tolerance = (torch.float64, 1e-10) if double else (torch.float32, 1e-5)
        hidden = torch.randn(rows, tokens, size, dtype=dtype)
        labels = torch.randint(words, (rows, tokens)).masked_fill(torch.rand(rows, tokens) < share, IGNORE)
        compare(hidden, labels, heads(size, words)[kind].to(dtype), tolerance, scale=0.25)


def test_first_label_and_last_position_do_not_count() -> None:
    head = nn.Linear(4, 7, bias=False)
    labels = torch.full((1, 3), IGNORE)
    labels[0, 0] = 5
    assert label_loss(torch.randn(1, 3, 4), labels, head) == 0


def test_no_label_at_all_gives_zero_and_zero_gradients() -> None:
    head, hidden = nn.Linear(4, 7), torch.randn(2, 3, 4, requires_grad=True)
    value = label_loss(hidden, torch.full((2, 3), IGNORE), head, list(head.parameters()))
    value.backward()
    assert value == 0 and hidden.grad is not None and not hidden.grad.any()
    assert head.weight.grad is not None and not head.weight.grad.any()


def test_tied_head_gets_both_gradients() -> None:
    embedding = nn.Embedding(11, 4)
    ids = torch.randint(11, (2, 6))

    def head(states: Tensor) -> Tensor:
        return states @ embedding.weight.T

    results = []
    for compute in (
        lambda: plain_loss(head(embedding(ids) ** 2), ids),
        lambda: label_loss(embedding(ids) ** 2, ids, head, [embedding.weight]),
    ):
        embedding.zero_grad()
        compute().backward()
        results.append(embedding.weight.grad.clone())
    torch.testing.assert_close(results[1], results[0])


def test_under_no_grad_and_with_frozen_hidden_states() -> None:
    head, labels = nn.Linear(4, 7), torch.randint(7, (2, 5))
    hidden = torch.randn(2, 5, 4)
    with torch.no_grad():
        value = label_loss(hidden, labels, head, list(head.parameters()))
    assert not value.requires_grad
    torch.testing.assert_close(value, plain_loss(head(hidden), labels).detach())
    label_loss(hidden, labels, head, list(head.parameters())).backward()
    mine, head.weight.grad = head.weight.grad, None
    plain_loss(head(hidden), labels).backward()
    torch.testing.assert_close(mine, head.weight.grad)


def test_the_head_sees_labelled_positions_only_and_few_at_a_time() -> None:
    seen: list[int] = []

    def head(states: Tensor) -> Tensor:
        seen.append(len(states))
        return torch.zeros(len(states), 11)

    labels = torch.full((2, 20), IGNORE)
    labels[:, 5:10] = 3
    label_loss(torch.randn(2, 20, 4), labels, head)
    assert seen == [1, 3, 3, 3, 1]  # the first row tells how many words there are
    seen.clear()
    head.words = 11  # type: ignore[attr-defined]
    label_loss(torch.randn(2, 20, 4), labels, head)
    assert seen == [3, 3, 3, 1]


def test_under_no_grad_no_gradient_is_computed() -> None:
    """In evaluation a head that learns costs what a frozen one costs."""
    head, hidden = nn.Linear(4, 7), torch.randn(1, 5, 4)
    went_back: list[int] = []
    head.weight.register_hook(lambda gradient: went_back.append(1))

    def through(states: Tensor) -> Tensor:
        logits: Tensor = head(states)
        if logits.requires_grad:
            logits.register_hook(lambda gradient: went_back.append(1))
        return logits

    labels = torch.zeros(1, 5, dtype=torch.int64)
    with torch.no_grad():
        label_loss(hidden, labels, through, list(head.parameters()))
    assert went_back == []
    label_loss(hidden, labels, through, list(head.parameters())).backward()
    assert went_back


def test_the_gradient_of_a_head_is_scaled_in_place() -> None:
    """What was summed becomes the gradient: no second tensor of the matrix' size."""
    head, hidden = nn.Linear(64, 128, bias=False), torch.randn(1, 5, 64)
    value = label_loss(hidden, torch.zeros(1, 5, dtype=torch.int64), head, [head.weight])
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        (value * 3).backward()
    made = [one for one in profile.events() if one.self_cpu_memory_usage >= head.weight.nbytes]
    assert not made and head.weight.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_sums_in_float32(dtype: torch.dtype) -> None:
    head = nn.Linear(8, 11, bias=False).to(dtype)
    hidden, labels = torch.randn(4, 40, 8).to(dtype), torch.randint(11, (4, 40))
    value = label_loss(hidden, labels, lambda x: head(x).float(), [head.weight])
    assert value.dtype == torch.float32
    value.backward()
    mine: Any = head.weight.grad
    exact = nn.Linear(8, 11, bias=False)
    exact.load_state_dict({"weight": head.weight.detach().float()})
    plain_loss(exact(hidden.float()), labels).backward()
    assert mine.dtype == dtype
    assert (mine.float() - exact.weight.grad).norm() <= 2e-2 * exact.weight.grad.norm()


def test_a_loss_scale_beyond_float16() -> None:
    head = nn.Linear(4, 7, bias=False).half().requires_grad_(False)
    hidden = torch.randn(1, 4, 4).half().mul_(1e-2).requires_grad_(True)
    value = label_loss(hidden, torch.randint(7, (1, 4)), lambda x: head(x).float())
    (value * 2.0**17 / 100).backward()
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all() and hidden.grad.any()


def test_gradients_reach_through_the_hidden_states() -> None:
    first, head = nn.Linear(5, 4), nn.Linear(4, 7)
    x, labels = torch.randn(2, 6, 5), torch.randint(7, (2, 6))
    results = []
    for compute in (
        lambda: plain_loss(head(first(x)), labels),
        lambda: label_loss(first(x), labels, head, list(head.parameters())),
    ):
        first.zero_grad()
        compute().backward()
        results.append(first.weight.grad.clone())
    torch.testing.assert_close(results[1], results[0])


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 3),
    tokens=st.integers(1, 9),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
    kind=st.sampled_from(["frozen", "learning", "bias only", "adapter"]),
)
def test_weights(rows: int, tokens: int, share: float, seed: int, kind: str) -> None:
    """The weight of a label multiplies its cross entropy, in both losses and in all gradients."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = torch.randn(rows, tokens, 4, dtype=torch.float64)
        labels = torch.randint(11, (rows, tokens)).masked_fill(torch.rand(rows, tokens) < share, IGNORE)
        weights, head = torch.rand(rows, tokens) * 3, heads(4, 11)[kind].double()
    learning = [parameter for parameter in head.parameters() if parameter.requires_grad]

    def by_definition(states: Tensor) -> Tensor:
        total = states.new_zeros(()) + 0 * head(states).sum()
        for row, token in (labels[:, 1:] != IGNORE).nonzero().tolist():
            logits = head(states[row, token])
            total = total - weights[row, token + 1] * logits.log_softmax(0)[labels[row, token + 1]]
        return total

    exact = grads(by_definition, hidden, head, 0.5)
    for compute in (
        lambda states: plain_loss(head(states), labels, weights),
        lambda states: label_loss(states, labels, head, learning, weights),
    ):
        mine = grads(compute, hidden, head, 0.5)
        torch.testing.assert_close(mine[0], exact[0])
        for first, second in zip(mine[1], exact[1], strict=True):
            assert (first is None) == (second is None)
            torch.testing.assert_close(first if first is not None else 0.0, second if second is not None else 0.0)


def test_weights_of_one_change_nothing() -> None:
    head, hidden, labels = nn.Linear(4, 7), torch.randn(2, 5, 4), torch.randint(7, (2, 5))
    weights = torch.ones(2, 5)
    torch.testing.assert_close(label_loss(hidden, labels, head), label_loss(hidden, labels, head, (), weights))
    torch.testing.assert_close(plain_loss(head(hidden), labels), plain_loss(head(hidden), labels, weights))
