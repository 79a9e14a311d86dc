"""The vision tower: the published numbers, and pictures of any sizes in one pass as one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from tunesmith.models.siglip import PatchProjection, SiglipTower, TowerSizes, cut_into_patches

RUNS = [
    *(("chat_noslice", run) for run in ("square", "tiny20", "two_turn")),
    *(("chat_sliced", run) for run in ("wide203x88", "grid3x2", "tall70x260")),
]
SIZES = [(28, 42), (56, 14), (42, 28), (28, 42), (14, 14), (30, 45), (56, 56), (14, 126)]
SMALL = TowerSizes(width=24, depth=2, heads=2, hidden=40, side=3)


@pytest.fixture
def tower() -> SiglipTower:
    """A random tower in float64."""
    made = SiglipTower(SMALL).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.3)
    return made


def some_pictures() -> list[Tensor]:
    return [torch.randn(3, *size, dtype=torch.float64) for size in SIZES]


@torch.no_grad()
@pytest.mark.parametrize(("case", "run"), RUNS)
def test_published_features(
    case: str, run: str, golden_prompt: Callable[..., Any], vision_model: Callable[[str], Any]
) -> None:
    prompt = golden_prompt(case, run)
    assert torch.equal(prompt.pictures[0], prompt.tensors["pixel_values.0"])
    features, grids = vision_model(case).vpm(prompt.pictures)
    assert [list(grid) for grid in grids] == prompt.facts["tgt_sizes_rows_cols"]
    torch.testing.assert_close(features, torch.cat(prompt.every("vision_features")), atol=2e-5, rtol=0)


def test_any_sizes_together_are_the_same_as_one_by_one(tower: SiglipTower) -> None:
    pictures = some_pictures()
    together, grids = tower(pictures)
    weights = torch.randn_like(together)
    (together * weights).sum().backward()
    gradients = {name: parameter.grad.clone() for name, parameter in tower.named_parameters()}
    tower.zero_grad()
    alone = [tower([picture]) for picture in pictures]
    assert grids == [grid for _, (grid,) in alone]
    features = torch.cat([one for one, _ in alone])
    torch.testing.assert_close(together, features, atol=1e-12, rtol=1e-12)
    (features * weights).sum().backward()
    for name, parameter in tower.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad, atol=1e-10, rtol=1e-10, msg=name)
        assert gradients[name].any(), name


@torch.no_grad()
def test_together_in_float32(tower: SiglipTower) -> None:
    tower.float()
    pictures = [picture.float() for picture in some_pictures()]
    alone = torch.cat([tower([picture])[0] for picture in pictures])
    torch.testing.assert_close(tower(pictures)[0], alone, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_sides_are_filled_up_with_zeros(tower: SiglipTower) -> None:
    picture = torch.randn(3, 30, 45, dtype=torch.float64)
    features, grids = tower([picture])
    assert grids == [(3, 4)]
    assert torch.equal(features, tower([pad(picture, (0, 11, 0, 12))])[0])


@torch.no_grad()
def test_patches_are_those_of_a_convolution() -> None:
    projection = PatchProjection(3, 5, kernel_size=14, stride=14).double()
    picture = torch.randn(3, 28, 42, dtype=torch.float64)
    patches, (rows, columns) = cut_into_patches(picture, 14)
    expected = torch.nn.functional.conv2d(picture[None], projection.weight, projection.bias, stride=14)
    assert projection(patches).shape == (6, 5, 1, 1)
    torch.testing.assert_close(projection(patches).flatten(1).T.reshape(1, 5, rows, columns), expected)


@torch.no_grad()
def test_positions_are_interpolated_in_float32_and_only_where_needed(tower: SiglipTower) -> None:
    tower.to(torch.bfloat16)
    table = tower.pos_embed.detach()
    own, other = tower._positions([(3, 3), (2, 5)]).split([9, 10])
    assert own.dtype == torch.bfloat16 and torch.equal(own, table[0])
    grid = table.float().view(1, 3, 3, -1).permute(0, 3, 1, 2)
    exact = interpolate(grid, (2, 5), mode="bicubic", antialias=True, align_corners=False)
    assert torch.equal(other, exact.permute(0, 2, 3, 1).reshape(10, -1).to(torch.bfloat16))
    assert not torch.equal(exact, interpolate(grid, (2, 5), mode="bicubic", align_corners=False))  # 2 < 3: it matters


@pytest.mark.parametrize(
    "picture", [torch.zeros(1, 28, 28), torch.zeros(28, 28, 3), torch.zeros(3, 0, 28), torch.zeros(2, 3, 14, 14)]
)
def test_what_is_no_picture_is_refused(picture: Tensor) -> None:
    with pytest.raises(ValueError, match=r"must be a tensor \(3, height, width\)"):
        cut_into_patches(picture, 14)


def test_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="normalised floats"):
        cut_into_patches(torch.zeros(3, 28, 28, dtype=torch.uint8), 14)
