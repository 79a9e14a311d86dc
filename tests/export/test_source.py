"""What is exported is found out without loading it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tunesmith.errors import ModelError
from tunesmith.export.source import Settings, Source


def test_run_adapter_and_model_are_told_apart(finished: Callable[[str], Path]) -> None:
    run = finished("lora")
    for name, place in ((run, run), (run / "adapter", None), ("nano-minicpm", None)):
        source = Source.of(name, Settings())
        assert source.run == place and source.model_type == "minicpm" and source.stored_dtype == torch.bfloat16
    assert Source.of(finished("full"), Settings()).place.adapter is None
    assert Source.of(finished("transnormer"), Settings()).model_type == "transnormer"


def test_a_failed_run_is_refused(finished: Callable[[str], Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished("lora"), tmp_path / "run"))
    (copy / "status.json").write_text(json.dumps({"state": "failed", "reason": "It broke."}), encoding="utf-8")
    with pytest.raises(ModelError, match="is marked as failed: It broke. What it left is not exported"):
        Source.of(copy, Settings())
