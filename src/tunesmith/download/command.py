"""tunesmith download MODEL: the plan, the transfer, and a look at what has come. torch is loaded for the last alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ..errors import ConfigError, MachineError, ModelError
from ..hub import Choice, Listing, RemoteFile, choose, similar
from ..locate import BUNDLED
from ..options import expand

if TYPE_CHECKING:
    from ..edges.huggingface import HuggingFace
    from ..edges.modelscope import ModelScope

    Hub: TypeAlias = HuggingFace | ModelScope


@dataclass(frozen=True)
class Options:
    """What `tunesmith download` can be told."""

    model: Annotated[str, typer.Argument(metavar="MODEL", help="OWNER/NAME on the hub: openbmb/MiniCPM-2B-sft-bf16.")]
    hub: Annotated[str, typer.Option(metavar="hf|modelscope", help="Hugging Face's hub or ModelScope.")] = "hf"
    revision: Annotated[
        str | None, typer.Option(metavar="NAME", help="A branch, a tag or a commit; default: the newest.")
    ] = None
    to: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Fill this folder, and not the hub's cache.")] = None
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not use the network: only examine what is in the cache.")
    ] = False


def _download(options: Options) -> None:
    """Fetch a model from a hub: what is needed of it, verified, going on where an earlier start stopped.

    The weights come as safetensors where there are any, else as torch files, never both; code of the model is never
    fetched. A model in the hub's cache is found by its name (model=openbmb/MiniCPM-2B-sft-bf16). Start the command
    again to go on after a break, or to have every file's checksum compared.

    The environment: HF_ENDPOINT (a mirror), HF_HOME, HF_TOKEN, HF_HUB_OFFLINE; MODELSCOPE_CACHE, MODELSCOPE_API_TOKEN.
    """
    _check_name(options.model)
    if options.to is not None and options.to.exists() and not options.to.is_dir():
        raise ModelError(f"--to {options.to}: that is a file. Give a folder.")
    hub = _hub(options)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    listing = _listing(hub, options, console)
    choice = choose(listing)
    folder = hub.folder(listing)
    console.print(f"{options.model} ({listing.revision}) from {hub.site} to {folder}")
    _tell(choice, console)
    missing = _missing(folder, choice, console)
    if missing and (options.offline or hub.offline):
        names = ", ".join(file.path for file in missing)
        raise ModelError(f"Not whole in {folder}: {names}. Run the command where the network may be used.")
    if missing:
        _transfer(hub, listing, missing, console)
    else:
        console.print("Nothing to fetch: all of it is here and whole.")
    hub.finish(listing)
    from .outcome import report

    report(options.model, folder, console)


def _check_name(name: str) -> None:
    if name in BUNDLED:
        raise ModelError(
            f"'{name}' comes with tunesmith: there is nothing to download. `tunesmith chat {name}` uses it."
        )
    if name.count("/") != 1:
        raise ModelError(f"'{name}' is not the name of a model on a hub, which is OWNER/NAME.{similar(name)}")


def _hub(options: Options) -> Hub:
    to = options.to.expanduser().absolute() if options.to else None
    if options.hub == "modelscope":
        from ..edges.modelscope import ModelScope

        return ModelScope(to)
    if options.hub == "hf":
        from ..edges.huggingface import HuggingFace

        return HuggingFace(to)
    raise ConfigError(f"--hub {options.hub}: no such hub. Known: hf, modelscope.")


def _listing(hub: Hub, options: Options, console: Console) -> Listing:
    """Return the hub's list of files, or the cache's: where the network must not be used, or the hub is not reached."""
    name, revision = options.model, options.revision or hub.revision
    offline = "The network is not to be used (--offline or HF_HUB_OFFLINE)." if options.offline or hub.offline else ""
    if not offline:
        try:
            return hub.listing(name, revision)
        except MachineError as error:
            offline = str(error)
    if (cached := hub.cached(name, revision)) is None:
        raise MachineError(f"'{name}' is not in the cache of this machine. {offline}")
    console.print(f"From the cache alone. {offline}")
    return cached


def _tell(choice: Choice, console: Console) -> None:
    """Print the plan: what is needed, and what is left out."""
    files = f"{len(choice.needed)} files" if len(choice.needed) != 1 else "1 file"
    largest = sorted(choice.needed, key=lambda file: -file.size)[:3]
    named = ", ".join(f"{file.path} {decimal(file.size)}" for file in largest)
    console.print(f"Needed: {files}, {decimal(choice.size)} ({named}{' ...' if len(choice.needed) > 3 else ''})")
    groups = [
        f"{', '.join(names[:2])}{f' and {len(names) - 2} more' if len(names) > 2 else ''} ({reason})"
        for reason, names in choice.left_out.items()
    ]
    if groups:
        console.print(f"Left out: {'; '.join(groups)}")


def _missing(folder: Path, choice: Choice, console: Console) -> list[RemoteFile]:
    """Return the needed files that are not here or not whole; the latter are named."""
    here = [file for file in choice.needed if (folder / file.path).is_file()]
    whole = set()
    with _bar(console, "Comparing checksums", sum(file.size for file in here)) as advance:
        for file in here:
            if file.is_whole(folder / file.path, advance):
                whole.add(file.path)
    for file in here:
        if file.path not in whole:
            console.print(f"{file.path} here is damaged or older: its size or checksum is not the listed one.")
    return [file for file in choice.needed if file.path not in whole]


def _transfer(hub: Hub, listing: Listing, files: Sequence[RemoteFile], console: Console) -> None:
    """Fetch files one after the other, small ones first: so a mistake shows before the weights come."""
    size, begun = sum(file.size for file in files), sum(hub.begun(listing, file) for file in files)
    _check_space(hub.folder(listing), size - begun)
    if begun:
        console.print(f"Going on: {decimal(begun)} of {decimal(size)} have come before.")
    try:
        with _bar(console, "Fetching", size) as advance:
            for file in sorted(files, key=lambda file: file.size):
                hub.fetch(listing, file, advance)
                console.print(f"  {file.path}  {decimal(file.size)}  verified" if file.digest else f"  {file.path}")
    except KeyboardInterrupt:
        console.print("Stopped. What has come is kept: the same command goes on from there.")
        raise


def _check_space(folder: Path, size: int) -> None:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if (free := shutil.disk_usage(there).free) < size:
        raise MachineError(
            f"{decimal(size)} are still to be fetched to {folder}, but only {decimal(free)} are free there. Make room, or "
            "choose another place with --to FOLDER (the cache's place: HF_HOME, MODELSCOPE_CACHE)."
        )


@contextmanager
def _bar(console: Console, text: str, size: int) -> Iterator[Callable[[int], None]]:
    """Show a bar of bytes with speed and remaining time, on a terminal alone."""
    columns = (TextColumn(text), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(text, total=size)
        yield lambda more: progress.advance(task, more)


download = expand(_download, Options)
