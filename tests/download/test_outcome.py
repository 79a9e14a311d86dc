"""What is said of a model that has come."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from tunesmith.download.outcome import report
from tunesmith.errors import ModelError


def _report(folder: Path) -> str:
    out = io.StringIO()
    report("owner/model", folder, Console(file=out, soft_wrap=True))
    return out.getvalue()


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "model"))


def test_a_native_model(folder: Path) -> None:
    told = _report(folder)
    assert "Model: minicpm, native; weights: model.safetensors; tokenizer: " in told
    assert f"tunesmith chat {folder}\n" in told and f"tunesmith train model={folder} " in told


def test_an_adapter(folder: Path) -> None:
    (folder / "config.json").unlink()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "openbmb/MiniCPM-2B-sft-bf16"}))
    assert "`tunesmith download openbmb/MiniCPM-2B-sft-bf16`" in _report(folder)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("config.json", '{"model_type": "nobody_knows"}', "model_type 'nobody_knows' is not known here"),
        ("config.json", "{", "not valid JSON"),
        ("model.safetensors", None, "holds no weights"),
        ("tokenizer.json", None, "has no tokenizer"),
    ],
    ids=["family", "config", "weights", "tokenizer"],
)
def test_what_cannot_be_used(folder: Path, name: str, content: str | None, words: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(ModelError, match=words) as caught:
        _report(folder)
    assert str(caught.value).startswith(f"'owner/model' is here and whole ({folder}), but tunesmith cannot use it: ")
