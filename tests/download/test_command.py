"""What `tunesmith download` says of mistakes before it asks a hub; the rest is tested with hubs, in tests/edges."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tunesmith.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nano-minicpm"], "comes with tunesmith"),
        (["MiniCPM-V-2"], "which is OWNER/NAME. Did you mean 'openbmb/MiniCPM-V-2'?"),
        (["a/b/c"], "which is OWNER/NAME."),
        (["owner/no-such-model"], "is not in the cache of this machine. The network is not to be used"),
        (["openbmb/MiniCPM-V-2", "--hub", "github"], "--hub github: no such hub. Known: hf, modelscope."),
    ],
    ids=["bundled", "bare", "deep", "offline", "hub"],
)
def test_mistakes(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["download", "openbmb/MiniCPM-V-2", "--to", str(tmp_path / "file")]) == 2
    assert "that is a file" in capsys.readouterr().err


def test_help_needs_no_library() -> None:
    code = (
        "import sys; from tunesmith.cli import main; assert main(['download', '--help']) == 0; "
        "print({'torch', 'transformers', 'huggingface_hub', 'modelscope_hub'} & set(sys.modules))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "HF_ENDPOINT" in told and told.splitlines()[-1] == "set()"
