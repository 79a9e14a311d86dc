"""adapter: a folder of its own, with all that was trained; MiniCPM-V also in its published two files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tunesmith.errors import ConfigError
from tunesmith.export.run import REPORT, export
from tunesmith.export.source import Settings
from tunesmith.models.load import load
from tunesmith.models.trained import FILE, PUBLISHED

pytestmark = pytest.mark.usefixtures("here")
Finished = Callable[[str], Path]


def test_adapter_stands_alone(finished: Finished, tmp_path: Path) -> None:
    made, report = export(finished("vision"), "adapter", tmp_path / "out")
    assert report["check"]["max_logit_difference"] == 0 and "PEFT alone does not" in report["notes"][0]
    weights = "adapter_model.safetensors"
    names = {"adapter_config.json", weights, FILE, "tunesmith.json", "tokenizer.json", "tokenizer_config.json", REPORT}
    assert {file.name for file in made.iterdir()} == names
    for file in (weights, FILE):
        assert (made / file).read_bytes() == (finished("vision") / "adapter" / file).read_bytes()
    assert load(made, device="cpu").family.model_type == "minicpmv"


def test_published_layout(finished: Finished, tmp_path: Path) -> None:
    made, report = export(finished("vision"), "adapter", tmp_path / "out", Settings(layout="published"))
    assert report["check"]["max_logit_difference"] < 1e-4
    pair = torch.load(made / PUBLISHED, weights_only=True)
    trained = load_file(finished("vision") / "adapter" / FILE)
    for name, tensor in trained.items():
        assert torch.equal(
            pair[f"base_model.model.{name}"].float(), tensor.to(pair[f"base_model.model.{name}"].dtype).float()
        )
    assert not (made / FILE).exists() and not (made / "README.md").exists()


def test_what_is_no_adapter(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a whole model without an adapter; its target is 'merged'"):
        export(finished("full"), "adapter", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"that of MiniCPM-V 2\.0; use --layout peft"):
        export(finished("lora"), "adapter", tmp_path / "out", Settings(layout="published"))
    with pytest.raises(ConfigError, match="--layout old: known are peft, published"):
        export(finished("lora"), "adapter", tmp_path / "out", Settings(layout="old"))
