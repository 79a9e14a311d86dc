"""tunesmith finetune [COMMAND] [--flags ...]."""

from __future__ import annotations

from typing import Annotated

import typer

from .finetune import finetune as run
from .finetune import read_settings
from .translate import translate


def finetune(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[COMMAND] --FLAGS", help="The published flags, or the whole command around them."),
    ] = None,
    script: Annotated[
        str | None, typer.Option("--script", help="minicpm or minicpmv. Default: what the flags belong to.")
    ] = None,
    only_print: Annotated[
        bool, typer.Option("--print-config", "--dry-run", help="Only print the settings, as a YAML file.")
    ] = False,
) -> None:
    """Run the published command line of MiniCPM's or MiniCPM-V's finetune.py as it is.

    Example: tunesmith finetune --model_name_or_path MiniCPM-2B-sft-bf16 --train_data_path train.json --output_dir out --use_lora

    Every flag becomes a setting, or is said to have no effect and why, or is an error. The settings are printed first
    and kept in the run folder as finetune.yaml. The same command again goes on with a run that was stopped.
    """
    if only_print:
        translation = translate(words or [], script)
        read_settings(translation)
        typer.echo(translation.yaml(), nl=False)
        return
    result = run(words or [], script)
    if result.state == "interrupted":
        typer.echo(f"Stopped at step {result.step}. The same command goes on from there.", err=True)
        raise typer.Exit(128 + (result.signal or 2))
