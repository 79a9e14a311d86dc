"""The verbs of the command line: a table, lazy, and what an error looks like. Nothing else.

Exit status: 0 done, 2 a mistake that the user can mend, 1 a run that failed or a fault of ours, 130 or 143 stopped by
Ctrl-C or SIGTERM. `--help`, `--version` and mistakes in the command are answered without importing torch.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import typer
from rich.console import Console
from rich.text import Text

from . import __version__
from .errors import TunesmithError, UserError
from .lookup import nearest


class Verb(NamedTuple):
    """Where a verb's function stands ("module:function"), its line in --help, and whether it reads unknown options."""

    target: str
    text: str
    any_option: bool = False


VERBS = {
    "demo": Verb("nano.demo:demo", "Watch a tiny model learn on this machine, in about a minute."),
    "train": Verb(
        "training.command:train",
        "Fine-tune a model: a YAML file, key=value settings, or both.",
        any_option=True,  # to tell how a setting is given
    ),
    "finetune": Verb(
        "compat.command:finetune",
        "Run the published command line of MiniCPM's or MiniCPM-V's finetune.py.",
        any_option=True,
    ),
    "chat": Verb("generate.command:chat", "Talk to a run or to a model folder."),
    "eval": Verb("eval.command:eval_", "Measure a run or a model on your records, beside other models."),
    "report": Verb("report.command:report", "Write the report card of a run: one page that needs no network."),
    "reproduce": Verb(
        "report.command:reproduce", "Compute the first steps of a run again, and compare them bit by bit."
    ),
    "export": Verb("export.command:export", "Write a run for other programs, and read it back to compare."),
    "adapter list": Verb("adapters.command:list_", "See which adapters there are, of which base, and how they stand."),
    "adapter compare": Verb("adapters.command:compare", "Compare two adapters: settings, layers, logits on rows."),
    "adapter merge": Verb("adapters.command:merge", "Make one adapter of several of the same base."),
    "adapter move": Verb("adapters.command:move", "Put an adapter onto another base of the same shape."),
    "download": Verb("download.command:download", "Fetch a model from Hugging Face or ModelScope, and verify it."),
    "bench": Verb("bench.command:bench_", "Measure training beside the plain recipe and installed peers."),
    "data check": Verb("data.check.command:check", "Examine data files: every bad record named, figures, advice."),
    "data show": Verb("data.show.command:show", "See what the model sees of a record, and what it learns from it."),
    "data convert": Verb("data.convert.command:convert", "Write records in another format, and split them."),
}
PLANNED = ("plan", "serve", "studio", "doctor")
ABOUT = "Fine-tune small on-device language models, natively, and talk to the result."
SETTINGS = {"help_option_names": ["-h", "--help"]}
_TYPER: dict[str, Any] = {"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": "rich"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command of the command line (default: this process's) and return its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "LOCAL_RANK" in os.environ:  # DeepSpeed's launcher says it in front of the command too
        arguments = [argument for argument in arguments if not argument.startswith("--local_rank=")]
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    for name in ("bitsandbytes", "DeepSpeed"):  # they speak at every start, of what is no concern of the user
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except TunesmithError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe (`| head`) has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception:  # noqa: BLE001 - the last one who can tell
        traceback.print_exc()
        complain(
            "this is a fault of tunesmith. Please report it to the project with the lines above, the command, and "
            f"these versions: tunesmith {__version__}, Python {sys.version.split()[0]}, {sys.platform}."
        )
        return 1
    return status


def complain(message: str) -> None:
    """Print a message on stderr: wrapped and in colour on a terminal, plain and unwrapped elsewhere."""
    console = Console(stderr=True, highlight=False)
    rank = os.environ.get("RANK", "0")  # one of several processes of a training
    label = "error: " if rank == "0" else f"error in rank {rank}: "
    console.print(Text.assemble((label, "bold red"), message), soft_wrap=not console.is_terminal)


def _run(arguments: list[str]) -> int:
    verb = arguments[0] if arguments else "--help"
    pair = " ".join(arguments[:2])  # verbs of two words: "data check"
    if pair in VERBS:
        verb = pair
    elif group := {name: listed for name, listed in VERBS.items() if name.startswith(f"{verb} ")}:
        return _group(verb, group, arguments[1:])
    if verb in VERBS:
        module, _, name = VERBS[verb].target.partition(":")
        app = typer.Typer(**_TYPER)
        function = getattr(importlib.import_module(f".{module}", __package__), name)
        settings = {**SETTINGS, "ignore_unknown_options": VERBS[verb].any_option}
        app.command(context_settings=settings, help=_paragraphs(function))(function)
        return _call(app, arguments[len(verb.split()) :], f"tunesmith {verb}")
    if not verb.startswith("-"):
        raise UserError(_unknown(verb))
    app = typer.Typer(**_TYPER)
    app.callback(context_settings=SETTINGS, help=ABOUT)(_global_options)
    for name, listed in VERBS.items():
        app.command(name, help=listed.text)(lambda: None)
    return _call(app, arguments or ["--help"], "tunesmith")


def _group(first: str, group: dict[str, Verb], rest: list[str]) -> int:
    """Answer the first word of verbs that have two: with what can follow it."""
    if rest and not rest[0].startswith("-"):
        raise UserError(_unknown(f"{first} {rest[0]}"))
    app = typer.Typer(**_TYPER)
    app.callback(context_settings=SETTINGS, help=f"{', '.join(group)}.")(lambda: None)
    for name, listed in group.items():
        app.command(name.removeprefix(f"{first} "), help=listed.text)(lambda: None)
    return _call(app, rest or ["--help"], f"tunesmith {first}")


def _call(app: typer.Typer, arguments: list[str], program: str) -> int:
    try:
        app(arguments, prog_name=program)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _paragraphs(function: Callable[..., None]) -> str:
    """Return the docstring with each paragraph in one line, so that the terminal's width decides where it breaks."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(function) or "").split("\n\n"))


def _unknown(verb: str) -> str:
    built = f"Built so far: {', '.join(VERBS)}."
    if verb in PLANNED:
        return f"'tunesmith {verb}' is planned, but this version ({__version__}) does not have it yet. {built}"
    return f"There is no command 'tunesmith {verb}'{nearest(verb, list(VERBS)) or '.'} {built}"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tunesmith {__version__}")
        raise typer.Exit


def _global_options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Receive the options that stand before a verb."""
