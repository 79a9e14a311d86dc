"""granite: the same tensors under transformers' own class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.export.run import export
from tunesmith.export.source import Settings
from tunesmith.models.files import read_config

pytestmark = pytest.mark.usefixtures("here")


def test_granite_form(finished: Callable[[str], Path], tmp_path: Path) -> None:
    made, report = export(finished("head"), "granite", tmp_path / "out", Settings(dtype="float32"))
    assert report["check"]["max_logit_difference"] < 1e-4 and report["check"]["changed_answers"] == 0
    config = read_config(made)
    assert (config["model_type"], config["embedding_multiplier"], config["logits_scaling"]) == ("granite", 12.0, 3.0)
    assert config["rope_theta"] == 10000.0 and config["tie_word_embeddings"] is False
    again, second = export(made, "granite", tmp_path / "again")  # a Granite is written as it is
    assert second["check"]["max_logit_difference"] == 0 and read_config(again)["residual_multiplier"] == 0.7


@pytest.mark.parametrize("kind", ["vision", "transnormer", "llama"])
def test_who_has_no_granite_form(kind: str, finished: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot become 'granite'"):
        export(finished(kind), "granite", tmp_path / "out")
