"""The command line: help without torch, exit codes, what errors look like."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from tunesmith import __version__, cli
from tunesmith.errors import RunError, UserError

HEAVY = ("torch", "transformers", "datasets", "peft", "pydantic")


def run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "tunesmith", *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=text, check=False, timeout=60)


def imported(*arguments: str) -> set[str]:
    """Return which heavy packages a command imports."""
    program = (
        f"import sys\nfrom tunesmith.cli import main\nmain({list(arguments)!r})\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(HEAVY) & set(done.stderr.split())


def test_help_and_version_are_fast_and_import_nothing_heavy() -> None:
    for arguments in (["--help"], ["--version"], ["-h"], [], ["trian"]):
        start = time.perf_counter()
        assert imported(*arguments) == set()
        assert time.perf_counter() - start < 3  # about 0.25 s alone; the bound only notices a heavy import
    assert run("--version").stdout == f"tunesmith {__version__}\n"


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_the_help_of_every_verb_is_there_without_torch(verb: str) -> None:
    assert imported(*verb.split(), "--help") <= {"pydantic"}
    done = run(*verb.split(), "-h")
    assert done.returncode == 0
    assert f"Usage: tunesmith {verb}" in done.stdout


def test_help_lists_what_is_built_and_nothing_else() -> None:
    text = run("--help").stdout
    assert all(f" {verb} " in text for verb in cli.VERBS)
    assert not any(f"│ {verb} " in text for verb in cli.PLANNED if verb not in cli.VERBS)


def test_the_first_word_of_two_lists_the_second() -> None:
    for arguments in (["data"], ["data", "--help"]):
        done = run(*arguments)
        assert done.returncode == 0
        assert all(word in done.stdout for word in ("check", "show", "convert")) and "train" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["trian"], "There is no command 'tunesmith trian'; did you mean 'train'?"),
        (["serve"], "'tunesmith serve' is planned"),
        (["data", "chekc", "x.json"], "There is no command 'tunesmith data chekc'; did you mean 'data check'?"),
        (["xyzzy"], "There is no command 'tunesmith xyzzy'. Built so far:"),
        (["--foo"], "No such option"),
        (["train", "--check", "nowhere.yaml"], "error: There is no configuration file 'nowhere.yaml'"),
        (["chat"], "Missing argument"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(arguments: list[str], wanted: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "status", "wanted"),
    [
        (
            UserError("[bold]no such[/bold] file " + "x" * 100),
            2,
            "error: [bold]no such[/bold] file " + "x" * 100 + "\n",
        ),
        (RunError("loss is nan"), 1, "error: loss is nan\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_errors_become_plain_lines_and_exit_codes(
    error: BaseException, status: int, wanted: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(cli, "_run", fail)
    assert cli.main([]) == status
    assert capsys.readouterr().err == wanted


def test_an_error_says_which_rank_has_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "3")
    cli.complain("no such file")
    assert capsys.readouterr().err == "error in rank 3: no such file\n"


def test_a_fault_of_ours_shows_its_traceback_and_how_to_report_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "_run", lambda arguments: 1 // 0)
    assert cli.main([]) == 1
    text = capsys.readouterr().err
    assert "ZeroDivisionError" in text
    assert "Please report it" in text


def test_a_reader_that_goes_away_is_no_fault() -> None:
    command = f"{sys.executable} -m tunesmith --help | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr
