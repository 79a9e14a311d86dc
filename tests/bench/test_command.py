"""tunesmith bench on the command line: a whole small run, and mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tunesmith.bench import command
from tunesmith.bench.command import Options
from tunesmith.cli import main


def test_plain_and_tunesmith_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "raw.json"
    small = ["--batch-size", "3", "--steps", "2", "--repeats", "1", "--threads", "1", "--side", "tunesmith"]
    assert main(["bench", "--dataset", "pairs", "--json", str(out), *small]) == 0
    said = capsys.readouterr().out
    assert "loss and gradient norm of a step differ" in said and "tunesmith / plain" in said
    (case,) = json.loads(out.read_text())["cases"]
    assert set(case["sides"]) == {"plain", "tunesmith"}
    assert case["mean_losses"]["plain"] == pytest.approx(case["mean_losses"]["tunesmith"], rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--plot", "bars.gif"], "ends in .png or .svg"),
        (["--json", "no/such/folder/raw.json"], "there is no folder 'no/such/folder'"),
        (["--ablation", "--side", "trl"], "leave --side and --peer out"),
        (["--side", "unsloth"], "Known: plain"),
    ],
)
def test_mistakes(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    said = capsys.readouterr().err
    assert reason in said and "Traceback" not in said


def test_sigterm_ends_the_running_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number, before = tmp_path / "number", signal.getsignal(signal.SIGTERM)
    script = f"echo $$ > {number}.new; mv {number}.new {number}; kill -TERM $PPID; exec sleep 60"

    def measure(*_: object) -> None:
        subprocess.run(["sh", "-c", script], check=False)

    monkeypatch.setattr(command, "bench", measure)
    assert main(["bench", "--side", "tunesmith"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)


def test_the_command_that_is_written_down() -> None:
    options = Options(dataset=["pairs"], size=["nano"], side=["trl"], steps=3, threads=2, json="x.json")
    written = "tunesmith bench --dataset pairs --size nano --side 'trl' --steps 3 --repeats 2 --threads 2"
    assert options.command == written
