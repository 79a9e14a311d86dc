"""ollama: the file, and a Modelfile with the template of the run, its stop words and its sampling."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.errors import ConfigError
from tunesmith.export.run import export
from tunesmith.export.targets.ollama import MODELFILE

pytest.importorskip("gguf")
pytestmark = pytest.mark.usefixtures("here")


def test_modelfile(finished: Callable[[str], Path], tmp_path: Path) -> None:
    made, report = export(finished("lora"), "ollama", tmp_path / "out")
    assert set(report["files"]) == {MODELFILE, "model.gguf"}
    template = (
        '{{ range .Messages }}{{ if eq .Role "system" }}{{ .Content }}{{ end }}{{ if eq .Role "user" }}'
        '<用户>{{ .Content }}<AI>{{ end }}{{ if eq .Role "assistant" }}{{ .Content }}{{ end }}{{ end }}'
    )
    assert (made / MODELFILE).read_text(encoding="utf-8").splitlines() == [
        "FROM ./model.gguf",
        f'TEMPLATE """{template}"""',
        'PARAMETER stop "<用户>"',
        'PARAMETER stop "<AI>"',
        "PARAMETER temperature 0.3",
        "PARAMETER top_p 0.8",
        "PARAMETER num_ctx 2048",
    ]


def test_a_template_that_ollama_cannot_say(finished: Callable[[str], Path], tmp_path: Path) -> None:
    copy = Path(shutil.copytree(finished("full"), tmp_path / "run"))
    template = "{% for m in messages[-1:] %}{{ m.content }}{% endfor %}"
    (copy / "model" / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be said in Ollama's language"):
        export(copy, "ollama")
    assert not list((copy / "export").iterdir())
