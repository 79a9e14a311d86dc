"""tunesmith export RUN --target ...: what a run has learned, for other programs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal

from ..errors import ConfigError
from ..options import expand

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}


@dataclass(frozen=True)
class Options:
    """What `tunesmith export` can be told."""

    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder; or an adapter's, or a model's.")]
    target: Annotated[str, typer.Option(metavar="TARGET", help="adapter, merged, granite, llama, gguf, ollama or mlx.")]
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="A new folder. Default: RUN/export/TARGET.")] = None
    dtype: Annotated[
        str | None, typer.Option(help="bfloat16, float16, float32. Default: what the base is stored in.")
    ] = None
    shard_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Of one weight file at most: 500M, 4G. Default: 4 GiB.")
    ] = None
    quant: Annotated[
        str | None, typer.Option(metavar="TYPE", help="gguf, ollama: f32, bf16, q8_0, q4_0. Default: q8_0.")
    ] = None
    layout: Annotated[str | None, typer.Option(help="adapter: peft, or published (MiniCPM-V 2.0).")] = None
    device: Annotated[str | None, typer.Option(help="Where the model is loaded. Default: cpu.")] = None
    compute: Annotated[
        str | None, typer.Option(help="The dtype it is held in; bfloat16 needs half the memory. Default: float32.")
    ] = None
    data: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Compare on rows of this file too; may be repeated.")
    ] = None
    rows: Annotated[int | None, typer.Option(min=1, help="With --data: how many rows. Default: 16.")] = None


def _export(options: Options) -> None:
    """Write what a run has learned for other programs, and read it back to see that nothing was lost.

    adapter: the PEFT adapter alone. merged: a whole model under its published names. granite, llama: a dense MiniCPM
    for transformers, vLLM and llama.cpp without tunesmith. gguf: one file for llama.cpp. ollama: that and a
    Modelfile. mlx: a folder for mlx-lm.

    A clean process reads the result and compares logits and answers with those of the run; export.json holds the
    figures. An export that differs too much is removed, and the command fails.
    """
    size = None if options.shard_size is None else _bytes(options.shard_size)
    from .run import export as run
    from .source import Settings

    data = tuple(options.data) if options.data else None
    settings = Settings(
        options.dtype, size, options.quant, options.layout, options.device, options.compute, data, options.rows
    )
    folder, report = run(options.run, options.target, options.to, settings)
    check, console = report["check"], Console(highlight=False, markup=False, soft_wrap=True)
    for note in report["notes"]:
        console.print(note)
    own = f" ({check['own_rows']} of --data)" if check["own_rows"] else ""
    for one in (check, *([check["program"]] if "program" in check else [])):
        console.print(
            f"Read back by {one['by']}: {one['rows']} rows{own}, largest difference of a logit "
            f"{one['max_logit_difference']:.2g} ({one['relative_difference']:.2g} of the largest logit; bound "
            f"{one['bound']:.2g}); {one['changed_answers']} of {one['answers']} greedy answers changed."
        )
    console.print(f"{folder} ({decimal(sum(report['files'].values()))})")


export = expand(_export, Options)


def _bytes(text: str) -> int:
    """Return a size such as 500M in bytes.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"(\d+)\s*([KMG]?)i?B?", text.strip(), re.IGNORECASE)
    if found is None or int(found[1]) == 0:
        raise ConfigError(f"--shard-size {text}: that is no size. Write it as 500M or 4G.")
    return int(found[1]) * _UNITS[found[2].upper()]
