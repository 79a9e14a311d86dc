"""tunesmith export on the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tunesmith.cli import main
from tunesmith.errors import ConfigError
from tunesmith.export.command import _bytes

Finished = Callable[[str], Path]


@pytest.mark.usefixtures("here")
def test_an_export_says_how_far_it_is_from_the_run(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(finished("lora")), "--target", "merged", "--to", str(tmp_path / "out")]
    assert main(["export", *arguments, "--dtype", "float32", "--shard-size", "4M"]) == 0
    said = capsys.readouterr().out
    assert "4 rows, largest difference of a logit" in said and "0 of 4 greedy answers changed." in said
    assert said.splitlines()[-1].startswith(f"{tmp_path / 'out'} (")
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 1
    assert main(["export", *arguments]) == 2
    error = capsys.readouterr().err
    assert "exists already" in error and "Traceback" not in error


@pytest.mark.parametrize(("text", "size"), [("500", 500), ("3K", 3000), ("500M", 5 * 10**8), ("4g", 4 * 10**9)])
def test_sizes(text: str, size: int) -> None:
    assert _bytes(text) == size


@pytest.mark.parametrize("text", ["", "0", "4T", "-1M", "one"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="that is no size"):
        _bytes(text)
