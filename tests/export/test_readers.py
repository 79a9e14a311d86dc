"""transformers reads the folder, without tunesmith's classes where none may be needed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tunesmith.errors import ModelError
from tunesmith.export.readers import transformers_reading
from tunesmith.locate import locate


def test_a_form_for_others_needs_no_class_of_ours(llama_folder: Path) -> None:
    reading = transformers_reading(llama_folder, torch.float32, "cpu", native=False)
    assert reading.by.startswith("transformers 5") and reading.encode("say two")
    with pytest.raises(ModelError, match="is read by tunesmith.models.minicpm, not by transformers alone"):
        transformers_reading(locate("nano-minicpm"), torch.float32, "cpu", native=False)


def test_a_template_that_transformers_does_not_read_is_seen(llama_folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(llama_folder, tmp_path / "copy"))
    (copy / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert transformers_reading(copy, torch.float32, "cpu", native=False).chat_template == "{{ messages }}"
