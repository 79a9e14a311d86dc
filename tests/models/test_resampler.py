"""The resampler: the published numbers, its position code, and several pictures as one by one."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tunesmith.models.resampler import Resampler, ResamplerSizes, grid_code

GRIDS = [(2, 3), (3, 2), (2, 3), (1, 7), (4, 4), (1, 1)]


@torch.no_grad()
@pytest.mark.parametrize(
    ("case", "run"),
    [
        *(("chat_noslice", run) for run in ("square", "tiny20", "two_turn")),
        *(("chat_sliced", run) for run in ("wide203x88", "grid3x2", "tall70x260")),
    ],
)
def test_published_rows(
    case: str, run: str, golden_prompt: Callable[..., Any], vision_model: Callable[[str], Any]
) -> None:
    prompt, resampler = golden_prompt(case, run), vision_model(case).resampler
    grids = [tuple(grid) for grid in prompt.facts["tgt_sizes_rows_cols"]]
    rows = resampler(torch.cat(prompt.every("vision_features")), grids)
    torch.testing.assert_close(rows, torch.stack(prompt.every("resampler_out")), atol=2e-5, rtol=0)


def test_several_pictures_are_the_same_as_one_by_one() -> None:
    resampler = Resampler(ResamplerSizes(width=256, features=24, queries=9)).double()
    with torch.no_grad():
        for parameter in resampler.parameters():
            parameter.normal_(std=0.2)
    features = torch.randn(sum(math.prod(grid) for grid in GRIDS), 24, dtype=torch.float64)
    together = resampler(features, GRIDS)
    assert together.shape == (len(GRIDS), 9, 256)
    weights = torch.randn_like(together)
    (together * weights).sum().backward()
    gradients = {n: p.grad.clone() for n, p in resampler.named_parameters() if p.requires_grad}
    assert set(gradients) == {name for name, _ in resampler.named_parameters()} - {"pos_embed"}
    resampler.zero_grad()
    parts = zip(features.split([math.prod(grid) for grid in GRIDS]), GRIDS, strict=True)
    alone = torch.cat([resampler(part, [grid]) for part, grid in parts])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=1e-12)
    (alone * weights).sum().backward()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, resampler.get_parameter(name).grad, atol=1e-10, rtol=1e-10, msg=name)


def test_position_code() -> None:
    code = grid_code((2, 3), 128)
    assert code.shape == (6, 128) and code.dtype == torch.float32
    for place in range(6):
        row, column = divmod(place, 3)
        for k in (0, 1, 17, 31):
            turn = 10000 ** (-k / 32)
            expected = [math.sin(column * turn), math.cos(column * turn), math.sin(row * turn), math.cos(row * turn)]
            assert code[place, k::32].tolist() == pytest.approx(expected, abs=1e-6)


def test_stored_positions_are_the_code_of_the_queries_rounded(vision_model: Callable[[str], Any]) -> None:
    stored = vision_model("chat_noslice").resampler.pos_embed.detach()
    assert torch.equal(stored, grid_code((8, 8), 128).bfloat16().float())


@pytest.mark.parametrize(("width", "queries"), [(192, 16), (128, 15)])
def test_sizes_that_do_not_go_together(width: int, queries: int) -> None:
    with pytest.raises(ValueError, match=rf"hidden_size {width} must be a multiple of 128, and query_num {queries}"):
        Resampler(ResamplerSizes(width, 24, queries))
