"""llama: exact in float32; in bfloat16 the price of folding is measured and said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tunesmith.export.run import export
from tunesmith.export.source import Settings
from tunesmith.models.files import read_config, read_tensor
from tunesmith.models.weights import EMBEDDING, HEAD

pytestmark = pytest.mark.usefixtures("here")


def test_llama_form(finished: Callable[[str], Path], tmp_path: Path) -> None:
    made, report = export(finished("lora"), "llama", tmp_path / "out", Settings(dtype="float32"))
    assert report["check"]["max_logit_difference"] < 1e-4 and report["check"]["changed_answers"] == 0
    embedding, head = read_tensor(made, EMBEDDING), read_tensor(made, HEAD)
    assert embedding is not None and head is not None
    assert torch.allclose(embedding / 12, head * 3)  # scale_emb 12, width 192 / 64
    config = read_config(made)
    assert config["architectures"] == ["LlamaForCausalLM"] and "scale_emb" not in config


def test_the_price_of_bfloat16_is_said(finished: Callable[[str], Path], tmp_path: Path) -> None:
    _, report = export(finished("lora"), "llama", tmp_path / "out")
    assert 1e-4 < report["check"]["relative_difference"] < 1e-2
    assert any("Folding rounds" in note for note in report["notes"])


def test_a_llama_is_written_as_it_is(finished: Callable[[str], Path], tmp_path: Path) -> None:
    _, report = export(finished("llama"), "llama", tmp_path / "out")
    assert report["check"]["max_logit_difference"] < 1e-4 and not any("Folding" in note for note in report["notes"])
