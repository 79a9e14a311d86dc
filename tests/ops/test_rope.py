"""Rotary embedding against its definition: a rotation of pairs."""

from __future__ import annotations

import torch

from tunesmith.ops.rope import angles, inverse_frequencies, rotate

FREQUENCIES = inverse_frequencies(10000.0, 8)


def test_frequencies() -> None:
    expected = torch.tensor([10000.0 ** (-2 * j / 8) for j in range(4)])
    torch.testing.assert_close(FREQUENCIES, expected)


def test_rotation_is_multiplication_of_complex_numbers() -> None:
    x_BHTK = torch.randn(2, 3, 5, 8)
    positions_BT = torch.tensor([[0, 1, 2, 3, 4], [7, 0, 2, 9, 1]])
    cos, sin = angles(FREQUENCIES, positions_BT)
    pairs = torch.complex(x_BHTK[..., :4], x_BHTK[..., 4:])
    turn = torch.polar(torch.ones(2, 1, 5, 4), positions_BT[:, None, :, None] * FREQUENCIES)
    turned = pairs * turn
    torch.testing.assert_close(rotate(x_BHTK, cos, sin), torch.cat((turned.real, turned.imag), dim=-1))


def test_scores_depend_on_distance_only() -> None:
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(at_query: int, at_key: int) -> torch.Tensor:
        turned = [
            rotate(x, *angles(FREQUENCIES, torch.tensor([[place]]))) for x, place in ((query, at_query), (key, at_key))
        ]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score(9, 4), score(105, 100), atol=1e-5, rtol=1e-5)


def test_computed_in_float32_and_rounded_once() -> None:
    x = torch.randn(1, 2, 6, 8)
    cos, sin = angles(FREQUENCIES, torch.arange(1000, 1006)[None])
    assert cos.dtype == torch.float32
    half = rotate(x.bfloat16(), cos, sin)
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, rotate(x.bfloat16().float(), cos, sin).bfloat16())
    assert rotate(x.double(), cos, sin).dtype == torch.float64


def test_autocast_does_not_round_the_angles() -> None:
    positions = torch.arange(4000, 4003)[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(
            angles(FREQUENCIES, positions)[0], (positions[..., None] * FREQUENCIES).cos().repeat(1, 1, 2)
        )


def test_scale() -> None:
    cos, sin = angles(FREQUENCIES, torch.zeros(1, 3), scale=1.5)
    assert torch.equal(cos, torch.full((1, 3, 8), 1.5)) and torch.equal(sin, torch.zeros(1, 3, 8))
