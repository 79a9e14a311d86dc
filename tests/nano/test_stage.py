"""What both demos do alike: folders that they must not touch, threads, the report, paths to be copied."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from rich.console import Console

from tunesmith import cli
from tunesmith.errors import ConfigError
from tunesmith.nano import stage
from tunesmith.nano.before_after import Row
from tunesmith.runs import RunFolder
from tunesmith.training.run import RunResult

KIND = "tunesmith demo --test"


def test_a_demo_gives_way_to_the_next_of_its_kind(tmp_path: Path) -> None:
    output = tmp_path / "demo"
    for _ in range(2):  # the second time there is a demo that was stopped before its end
        stage.make_way(output, KIND)
        assert sorted(path.name for path in output.iterdir()) == ["checkpoints", stage.REPORT, "status.json"]
    (output / stage.REPORT).write_text(json.dumps({"kind": KIND, "files": [path.name for path in output.iterdir()]}))
    (output / "report.html").write_text("a report card that was written later")
    stage.make_way(output, KIND)
    assert "files" not in json.loads((output / stage.REPORT).read_text())
    with pytest.raises(ConfigError, match="not an earlier demo"):
        stage.make_way(output, "tunesmith demo")


def test_a_demo_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / stage.REPORT).write_text(json.dumps({"kind": KIND, "files": [stage.REPORT]}))
    (tmp_path / "mine.txt").write_text("notes")
    with pytest.raises(ConfigError, match=r"holds an earlier demo and something else \(mine\.txt\)"):
        stage.make_way(tmp_path, KIND)
    assert (tmp_path / "mine.txt").read_text() == "notes"


@pytest.mark.parametrize("options", [[], ["--vision"]])
@pytest.mark.parametrize("report", [None, "[]", '{"kind": "another"}'])
def test_a_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, report: str | None, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    if report:
        (tmp_path / stage.REPORT).write_text(report)
    assert cli.main(["demo", *options, "--output", str(tmp_path)]) == 2
    assert "is not an earlier demo" in capsys.readouterr().err
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_one_thread_for_a_while() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), stage.one_thread():
        assert torch.get_num_threads() == 1
        raise RuntimeError
    assert torch.get_num_threads() == before


def test_a_stopped_demo_ends_as_its_signal_would(monkeypatch: pytest.MonkeyPatch) -> None:
    result = RunResult(Path(), "interrupted", 3, 1.0, signal=15)
    monkeypatch.setattr("tunesmith.training.run.train", lambda settings: result)
    with pytest.raises(typer.Exit) as ended:
        stage.learn(None)  # type: ignore[arg-type]
    assert ended.value.exit_code == 143


def test_the_report_counts_right_answers(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"loss": 5.0}\n{"eval_loss": 4.0}\n{"loss": 0.5}\n')
    rows = [Row("a", "x", "", "x"), Row("b", "y", "y", "y"), Row("c", "z", "x", "x"), Row("d", "z", "", "z")]
    report = stage.write_report(RunFolder(tmp_path), KIND, rows, 12.34, {"more": 1})
    assert report == json.loads((tmp_path / stage.REPORT).read_text())
    assert (report["match_before"], report["match_after"], report["questions"]) == (0.25, 0.75, 4)
    assert (report["loss_first"], report["loss_last"], report["seconds"], report["more"]) == (5.0, 0.5, 12.3, 1)


def test_commands_can_be_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert stage.near(tmp_path / "a" / "b") == "a/b"
    assert stage.near(Path("/elsewhere")) == "/elsewhere"
    console = Console(width=20, color_system=None)
    with console.capture() as capture:
        stage.print_commands("Next:", ["tunesmith chat somewhere --prompt [b]"], console)
    assert capture.get() == "\nNext:\n  tunesmith chat somewhere --prompt [b]\n"
