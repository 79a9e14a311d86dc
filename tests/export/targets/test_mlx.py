"""mlx: the Granite form of a MiniCPM, a Llama as it is; said that mlx-lm was not run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.export.run import export
from tunesmith.models.files import read_config

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(("kind", "model_type"), [("lora", "granite"), ("llama", "llama")])
def test_form(kind: str, model_type: str, finished: Callable[[str], Path], tmp_path: Path) -> None:
    made, report = export(finished(kind), "mlx", tmp_path / "out")
    config = read_config(made)
    assert config["model_type"] == model_type and "not by mlx-lm" in report["notes"][-1]
    read_by_mlx = {"rope_theta", "rms_norm_eps", "num_key_value_heads", "vocab_size", "tie_word_embeddings"}
    assert model_type == "llama" or read_by_mlx < set(config)


def test_what_is_refused(finished: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot become 'mlx'"):
        export(finished("transnormer"), "mlx", tmp_path / "out")
