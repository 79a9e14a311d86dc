"""What an earlier look has left stands for the picture itself, also mixed with others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tunesmith.models.minicpmv import MiniCPMVConfig, MiniCPMVForCausalLM
from tunesmith.models.sight import look, towered

CONFIG = json.loads((Path(__file__).parents[1] / "golden" / "minicpmv2" / "chat_noslice" / "config.json").read_text())


@pytest.fixture(scope="module")
def model() -> MiniCPMVForCausalLM:
    torch.manual_seed(3)
    return MiniCPMVForCausalLM(MiniCPMVConfig(**CONFIG)).eval()


@torch.no_grad()
def test_kinds_mix_and_keep_their_order(model: MiniCPMVForCausalLM) -> None:
    pictures = [torch.randn(3, 28, 42), torch.randn(3, 84, 70), torch.randn(3, 28, 42), torch.randn(3, 42, 28)]
    rows_SQD = model.seen(pictures)
    alone = torch.cat([model.seen([picture]) for picture in pictures])
    torch.testing.assert_close(rows_SQD, alone, atol=1e-6, rtol=1e-5)
    towers = towered(model.vpm, pictures)
    assert [tuple(one.shape[:3]) for one in towers] == [(1, 2, 3), (1, 6, 5), (1, 2, 3), (1, 3, 2)]
    mixed = [towers[0], rows_SQD[1], pictures[2], towers[3], rows_SQD[1]]
    found = look(model.vpm, model.resampler, mixed, torch.device("cpu"))
    torch.testing.assert_close(found, rows_SQD[[0, 1, 2, 3, 1]], atol=1e-6, rtol=1e-5)
    ready = look(model.vpm, model.resampler, [rows_SQD[3], rows_SQD[0]], torch.device("cpu"))
    assert ready.equal(rows_SQD[[3, 0]])
