"""The loss of one matrix, computed in each way, against its definition: the same value and the same gradients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tunesmith.ops import loss as chunks
from tunesmith.ops.loss import IGNORE, plain_loss
from tunesmith.ops.matrix_loss import Matrix, MatrixSum, chunked_sum, matrix_loss, torch_sum

NEW_TORCH = pytest.mark.skipif(not hasattr(nn.functional, "linear_cross_entropy"), reason="torch before 2.13")
WAYS = [pytest.param(chunked_sum, id="chunked"), pytest.param(torch_sum, id="torch", marks=NEW_TORCH)]
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 3e-2}


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make several chunks of few rows."""
    monkeypatch.setattr(chunks, "LEAST_ROWS", 2)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 4 * 11 * 3)
    yield


def found(
    summed: MatrixSum | None,
    hidden: Tensor,
    labels: Tensor,
    parts: tuple[Tensor, Tensor | None],
    weights: Tensor | None,
) -> list[Tensor | None]:
    """Loss, and gradients of what learns (times 0.25), in one way or by definition (None), which is in float64."""
    weight, bias, scale = parts[0], parts[1], 1 / 1.7
    leaves = [one if one is None else one.detach().clone().requires_grad_(one.requires_grad) for one in (weight, bias)]
    states = hidden.clone().requires_grad_()
    if summed is None:
        exact = [one if one is None else one.double() for one in (states, *leaves)]
        value = plain_loss(nn.functional.linear(exact[0] * scale, exact[1], exact[2]), labels, weights)  # type: ignore[arg-type,operator]
    else:
        value = matrix_loss(states, labels, Matrix(leaves[0], leaves[1], scale), summed, weights)  # type: ignore[arg-type]
    (value * 0.25).backward()
    return [value.detach(), *(None if one is None else one.grad for one in (states, *leaves))]


@pytest.mark.parametrize("summed", WAYS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@settings(max_examples=20, deadline=None)
@given(
    rows=st.integers(1, 3),
    tokens=st.integers(1, 9),
    words=st.integers(2, 11),
    share=st.floats(0, 1),
    learning=st.sampled_from([(), (0,), (0, 1), (1,)]),
    bias=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_same_value_and_gradients(
    summed: MatrixSum, dtype: torch.dtype, rows: int, tokens: int, words: int, share: float,
    learning: tuple[int, ...], bias: bool, weighted: bool, seed: int,
) -> None:  # fmt: skip
    if summed is torch_sum and dtype == torch.bfloat16:
        return  # refused: see tests/training/test_loss_choice.py
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        hidden = torch.randn(rows, tokens, 4).to(dtype)
        labels = torch.randint(words, (rows, tokens)).masked_fill(torch.rand(rows, tokens) < share, IGNORE)
        weight = torch.randn(words, 4).to(dtype).requires_grad_(0 in learning)
        parts = (weight, torch.randn(words).to(dtype).requires_grad_(1 in learning) if bias else None)
        weights = torch.rand(rows, tokens) * 3 if weighted else None
    mine, plain = (found(way, hidden, labels, parts, weights) for way in (summed, None))
    assert mine[0] is not None and mine[0].dtype == torch.promote_types(dtype, torch.float32)
    for one, other in zip(mine, plain, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert (one.double() - other.double()).norm() <= TOLERANCES[dtype] * (other.double().norm() + 1)


@pytest.mark.parametrize("summed", WAYS)
def test_a_word_that_is_all_but_certain_and_one_that_is_all_but_impossible(summed: MatrixSum) -> None:
    """The logits are 200 apart: neither the loss nor a gradient is lost in the rounding, or infinite."""
    weight = torch.tensor([[100.0], [-100.0], [99.0]])
    hidden, labels = torch.tensor([[[1.0], [1.0], [1.0]]]), torch.tensor([[IGNORE, 0, 1]])
    mine, plain = (found(way, hidden, labels, (weight, None), None) for way in (summed, None))
    for one, other in zip(mine[:2], plain[:2], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6, check_dtype=False)


def test_large_logits_in_float16_and_a_loss_scale_beyond_it() -> None:
    """The sum of the exponentials over many words is more than float16 holds, and so is the scale of the loss."""
    hidden = torch.randn(1, 4, 4).half().mul_(1e-2).requires_grad_(True)
    weight = (torch.randn(70_000, 4) * 0.1).half()
    value = matrix_loss(hidden, torch.tensor([[0, 5, 69_999, 7]]), Matrix(weight, None, 0.5), chunked_sum)
    (value * 2.0**17 / 100).backward()
    assert hidden.grad is not None and torch.isfinite(hidden.grad).all() and hidden.grad.any()
    assert float(value.detach()) == pytest.approx(3 * torch.tensor(70_000.0).log().item(), rel=1e-2)


def test_autocast_multiplies_in_its_dtype_and_sums_in_float32() -> None:
    hidden, weight = torch.randn(2, 9, 8), torch.randn(11, 8, requires_grad=True)
    labels = torch.randint(11, (2, 9))
    results = []
    for autocast in (False, True):
        states = hidden.clone().requires_grad_()
        weight.grad = None
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            value = matrix_loss(states, labels, Matrix(weight), chunked_sum)
        value.backward()
        assert value.dtype == states.grad.dtype == weight.grad.dtype == torch.float32  # type: ignore[union-attr]
        results.append([value.detach(), states.grad, weight.grad])
    for exact, rounded in zip(*results, strict=True):
        assert 0 < (exact - rounded).norm() <= 2e-2 * exact.norm()  # type: ignore[operator,union-attr]


def test_nothing_is_computed_for_what_does_not_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under no_grad, as in evaluation, a chunk costs one multiplication, even of a matrix that learns."""
    weight, calls = torch.randn(11, 4, requires_grad=True), []
    real = torch.mm
    monkeypatch.setattr(torch, "mm", lambda *inputs, **options: calls.append(1) or real(*inputs, **options))
    hidden, labels = torch.randn(1, 7, 4, requires_grad=True), torch.zeros(1, 7, dtype=torch.int64)
    with torch.no_grad():
        assert not matrix_loss(hidden, labels, Matrix(weight), chunked_sum).requires_grad
    assert len(calls) == 2  # two chunks of three labels
    calls.clear()
    matrix_loss(hidden, labels, Matrix(weight.detach()), chunked_sum).backward()
    assert len(calls) == 4


def test_one_buffer_of_logits_is_all_there_is() -> None:
    """With a frozen matrix no second tensor of the logits' size is made, and with a learning one none of the matrix'."""
    hidden, labels = torch.randn(1, 7, 4, requires_grad=True), torch.zeros(1, 7, dtype=torch.int64)
    for learns, allowed in ((False, 1), (True, 2)):
        weight = torch.randn(11, 4, requires_grad=learns)
        with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            matrix_loss(hidden, labels, Matrix(weight), chunked_sum).backward()
        large = [size for one in profile.events() if (size := one.self_cpu_memory_usage) >= 3 * 11 * 4]
        assert len(large) == allowed, large


def test_a_tied_matrix_gets_both_gradients() -> None:
    embedding, ids = nn.Embedding(11, 4), torch.randint(11, (2, 6))
    results = []
    for way in (chunked_sum, None):
        embedding.zero_grad()
        hidden = embedding(ids) ** 2
        if way is None:
            plain_loss(hidden @ embedding.weight.T, ids).backward()
        else:
            matrix_loss(hidden, ids, Matrix(embedding.weight), way).backward()
        results.append(embedding.weight.grad.clone())
    torch.testing.assert_close(results[0], results[1])


def test_shared_tokens_predict_several_labels() -> None:
    hidden, weight = torch.randn(1, 4, 4, requires_grad=True), torch.randn(11, 4)
    labels = torch.tensor([[IGNORE, 3, 5], [IGNORE, 3, 7]])
    places = torch.tensor([[0, 1, 2], [0, 1, 3]])
    value = matrix_loss(hidden, labels, Matrix(weight), chunked_sum, None, places)
    plain = plain_loss(hidden[0][places] @ weight.T, labels)
    torch.testing.assert_close(value, plain)
    (mine,), (theirs,) = (torch.autograd.grad(one, hidden) for one in (value, plain))
    torch.testing.assert_close(mine, theirs)
