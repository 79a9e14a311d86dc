"""A dataclass becomes the options of a command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from tunesmith.options import expand


@dataclass(frozen=True)
class Options:
    """An argument, a number, a switch."""

    name: Annotated[str, typer.Argument(help="Whom to greet.")]
    times: Annotated[int, typer.Option(help="How often.")] = 1
    loud: Annotated[bool, typer.Option("--loud", help="With capitals.")] = False


def _greet(options: Options) -> None:
    """Greet somebody."""
    for _ in range(options.times):
        typer.echo(options.name.upper() if options.loud else options.name)


def test_fields_become_arguments_options_and_help() -> None:
    app = typer.Typer()
    app.command()(expand(_greet, Options))
    runner = CliRunner()
    assert runner.invoke(app, ["ada", "--times", "2", "--loud"]).output == "ADA\nADA\n"
    assert runner.invoke(app, ["ada"]).output == "ada\n"
    assert runner.invoke(app, []).exit_code == 2
    text = runner.invoke(app, ["--help"]).output
    assert "Greet somebody." in text
    assert "How often." in text
