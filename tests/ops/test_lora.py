"""The fused LoRA layer against its definition: values, gradients, dtypes, and what it keeps for the backward pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from tunesmith.ops.lora import lora_linear

I, O, R, SCALE = 6, 5, 3, 1.5
SHAPES = [(I,), (4, I), (2, 3, I), (2, 1, 2, I), (0, I)]


def tensors(*shape: int, dtype: torch.dtype = torch.float64, bias: bool = True) -> list[Tensor | None]:
    """x, W, bias, A and B; what learns asks for gradients."""
    x, a, b = (torch.randn(size, dtype=dtype).requires_grad_() for size in (shape, (R, I), (O, R)))
    return [x, torch.randn(O, I, dtype=dtype), torch.randn(O, dtype=dtype) if bias else None, a, b]


def defined(x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """What PEFT writes as three layers and a sum."""
    y = torch.nn.functional.linear(x, weight, bias)
    return y + torch.nn.functional.linear(torch.nn.functional.linear(x, a), b) * scale


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_the_definition(shape: tuple[int, ...], bias: bool) -> None:
    given = tensors(*shape, bias=bias)
    torch.testing.assert_close(lora_linear(*given, SCALE), defined(*given, SCALE))
    assert torch.autograd.gradcheck(lambda *some: lora_linear(*some, SCALE), given, check_undefined_grad=False)


def test_rows_of_a_transposed_tensor() -> None:
    _, *others = tensors(1, I)
    x = torch.randn(I, 2, 4, dtype=torch.float64).requires_grad_()
    found, expected = lora_linear(x.permute(2, 1, 0), *others, SCALE), defined(x.permute(2, 1, 0), *others, SCALE)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(*(torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected)))


@pytest.mark.parametrize("learns", [0, 3, 4], ids=["x", "A", "B"])
def test_only_the_gradients_that_are_asked_for(learns: int) -> None:
    given = tensors(4, I)
    for number in (0, 3, 4):
        given[number].requires_grad_(number == learns)
    lora_linear(*given, SCALE).sum().backward()
    assert [number for number in (0, 3, 4) if given[number].grad is not None] == [learns]


def test_there_is_no_second_derivative() -> None:
    given = tensors(4, I)
    (first,) = torch.autograd.grad(lora_linear(*given, SCALE).square().sum(), given[0], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        first.sum().backward()


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16], ids=["base-fp32", "base-bf16"])
@pytest.mark.parametrize("incoming", [torch.float32, torch.bfloat16], ids=["x-fp32", "x-bf16"])
def test_under_autocast_adapters_stay_float32(stored: torch.dtype, incoming: torch.dtype) -> None:
    x, weight, bias, a, b = tensors(64, I, dtype=torch.float32)
    x = x.detach().to(incoming).requires_grad_()
    given = [x, weight.to(stored), bias.to(stored), a, b]
    exact = [one.detach().double().requires_grad_(one.requires_grad) for one in given]
    with torch.autocast("cpu", torch.bfloat16):
        found = lora_linear(*given, SCALE)
    expected = defined(*exact, SCALE)
    assert found.dtype == torch.bfloat16
    found.float().square().sum().backward()
    expected.square().sum().backward()
    pairs = [(found, expected), *((given[n].grad, exact[n].grad) for n in (0, 3, 4))]
    assert [one.dtype for one, _ in pairs[1:]] == [incoming, torch.float32, torch.float32]
    for one, right in pairs:
        assert (one.double() - right).norm() <= 1e-2 * right.norm()


def test_autocast_leaves_float64_alone() -> None:
    given = tensors(4, I)
    with torch.autocast("cpu", torch.bfloat16):
        found = lora_linear(*given, SCALE)
    torch.testing.assert_close(found, defined(*given, SCALE))


@pytest.mark.parametrize("casts", [False, True], ids=["float32", "autocast"])
def test_what_is_kept_is_x_itself_and_the_product_of_low_rank(casts: bool) -> None:
    given = tensors(64, I, dtype=torch.float32)
    own, kept = {one.data_ptr() for one in given}, []
    hooks = saved_tensors_hooks(lambda one: kept.append(one) or one, lambda one: one)
    with hooks, torch.autocast("cpu", torch.bfloat16, enabled=casts):
        lora_linear(*given, SCALE)
    assert [one.shape for one in kept if one.data_ptr() not in own] == [(64, R)] and len(kept) == 5
