"""A merged folder is loaded by tunesmith too, and computes what the run computes: every family, parts and heads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tunesmith.export.expected import rows_of
from tunesmith.export.run import export
from tunesmith.export.source import Settings
from tunesmith.models.files import read_config, stored_dtype, stored_tensors
from tunesmith.models.load import load
from tunesmith.models.weights import HEAD

pytestmark = pytest.mark.usefixtures("here")
Finished = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["lora", "full", "head", "vision", "transnormer", "llama"])
def test_merged_folder_computes_what_was_trained(kind: str, finished: Finished, tmp_path: Path) -> None:
    made, report = export(finished(kind), "merged", tmp_path / "out", Settings(dtype="float32"))
    assert report["check"]["max_logit_difference"] < 1e-4 and report["check"]["changed_answers"] == 0
    loaded = load(made, dtype="float32", device="cpu")
    for row in rows_of(finished(kind), loaded):
        if row.recorded is not None:
            with torch.no_grad():
                assert torch.allclose(loaded.model(**row.inputs).logits[0], row.recorded, atol=1e-4)


def test_the_dtype_is_that_of_the_base(finished: Finished, tmp_path: Path) -> None:
    made, report = export(finished("head"), "merged", tmp_path / "out")
    assert stored_dtype(stored_tensors(made)) == torch.bfloat16 and report["dtype"] == "bfloat16"
    config = read_config(made)
    assert config["torch_dtype"] == "bfloat16" and config["architectures"] == ["MiniCPMForCausalLM"]
    assert config["tie_word_embeddings"] is False and HEAD in stored_tensors(made)
    assert config["scale_emb"] == 12 and "auto_map" not in config


def test_a_quantised_base_is_merged_as_it_was_rounded(finished: Finished, tmp_path: Path) -> None:
    """QLoRA: the weights are those that the adapter was trained on, and not the unrounded ones."""
    pytest.importorskip("bitsandbytes")
    from tunesmith.training.run import train

    data = str(finished("lora").parent / "rows.json")
    training = {"steps": 2, "learning_rate": 3e-3, "precision": "fp32", "device": "cpu", "verify": False}
    config = {
        "model": "nano-minicpm",
        "output": str(tmp_path / "run"),
        "data": {"train": data},
        "tuning": {"method": "qlora", "rank": 4},
        "training": {**training, "report_to": []},
    }
    assert train(config).state == "finished"
    made, report = export(tmp_path / "run", "merged", tmp_path / "out", Settings(dtype="float32"))
    assert report["check"]["max_logit_difference"] < 1e-4 and report["recorded_difference"] < 1e-4
    name = "model.layers.0.self_attn.q_proj.weight"
    assert load(made, device="cpu").model.get_parameter(name).dtype == torch.float32


def test_a_model_held_in_bfloat16_is_exported_with_the_wider_bound(finished: Finished, tmp_path: Path) -> None:
    settings = Settings(dtype="float32", compute="bfloat16")
    _, report = export(finished("lora"), "merged", tmp_path / "out", settings)
    assert report["computed_in"] == "bfloat16" and report["check"]["bound"] == 0.05
    assert 1e-4 < report["check"]["relative_difference"] < 0.05
