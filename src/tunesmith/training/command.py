"""tunesmith train [CONFIG.yaml] [key=value ...]."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .. import config
from ..errors import ConfigError
from ..lookup import nearest
from .settings import TrainConfig


def train(
    items: Annotated[
        list[str] | None,
        typer.Argument(metavar="CONFIG.yaml|key=value", help="A YAML file, and settings that go over it."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only check the settings, and print all of them.")] = False,
) -> None:
    """Fine-tune a model: a YAML file, key=value settings, or both.

    Example: tunesmith train configs/minicpm-2b-lora.yaml training.learning_rate=1e-4 output=runs/mine

    The same command again goes on with a run that was stopped.
    """
    settings = config.read(TrainConfig, *split(items or []))
    if check:
        typer.echo(config.dump(settings), nl=False)
        typer.echo("The settings are valid.", err=True)
        return
    from .run import train as run  # heavy: only when a run begins

    result = run(settings)
    if result.state == "interrupted":
        typer.echo(f"Stopped at step {result.step}. The same command goes on from there.", err=True)
        raise typer.Exit(128 + (result.signal or 2))


def split(items: list[str]) -> tuple[Path | None, list[str]]:
    """Return the configuration file, if one is given, and the overrides.

    Raises:
        ConfigError: an option that is none, two files, or nothing at all.
    """
    for item in items:
        if item.startswith("-"):
            raise ConfigError(f"There is no option '{item}'{_meant(item)}")
    files = [item for item in items if "=" not in item or Path(item).is_file()]
    if len(files) > 1:
        raise ConfigError(f"Give one configuration file, not {len(files)} ({', '.join(files)}).")
    if not items:
        raise ConfigError(
            "Nothing to train: give a configuration file, or at least model=FOLDER output=FOLDER data.train=FILE."
        )
    return (Path(files[0]) if files else None), [item for item in items if item not in files]


def _meant(option: str) -> str:
    """Return what somebody who gave an unknown option probably wanted."""
    name = option.lstrip("-").partition("=")[0].replace("-", "_")
    setting = config.dotted_names(TrainConfig).get(name)
    if setting:
        return f". Settings are given without dashes: {setting}=..."
    return nearest(option, ["--check", "--help"]) or ". Settings are given as key=value; --help shows an example."
