"""Both forms of a model compute the same; what needs a GPU is refused without one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from tunesmith.bench.models import MINICPM_100M, SIZES, write
from tunesmith.errors import MachineError
from tunesmith.models.minicpm import MiniCPMConfig


def test_both_forms_are_one_function(facts: dict[str, Any]) -> None:
    models = [AutoModelForCausalLM.from_pretrained(place, dtype="auto") for place in facts["models"].values()]
    assert [model.config.model_type for model in models] == ["minicpm", "granite"]
    assert all(model.dtype == torch.float32 for model in models)
    ids = torch.arange(10, 30)[None]
    one, other = (model(ids).logits for model in models)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "billions"), [("100m", 0.099), ("1b", 1.36), ("2b", 2.72)])
def test_shapes_have_the_parameters_of_their_names(size: str, billions: float) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(MiniCPMConfig(**SIZES[size].config))
    assert sum(p.numel() for p in model.parameters()) / 1e9 == pytest.approx(billions, rel=0.01)
    assert MINICPM_100M["vocab_size"] == 122753


def test_a_size_for_a_gpu(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="size 2b is measured on a CUDA GPU only"):
        write("2b", tmp_path, "cpu")
