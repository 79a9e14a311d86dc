"""What has come, read with the project's own readers: config, family, weights, tokenizer; and what to do next."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ..data.tokenizer import TextTokenizer
from ..errors import ModelError
from ..locate import locate
from ..models.adapter import CONFIG as ADAPTER_CONFIG
from ..models.family import family_of
from ..models.files import read_config, read_object, weight_files


def report(name: str, folder: Path, console: Console) -> None:
    """Examine a downloaded model and print what it is and how to use it.

    Raises:
        ModelError: it is here, but tunesmith cannot use it; the message says why.
    """
    given = name if _found(name) == folder.resolve() else str(folder)
    if not (folder / "config.json").is_file():
        base = read_object(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
        console.print(f"An adapter for {base}, which it needs beside it: `tunesmith download {base}`")
        console.print(f"Next: tunesmith chat {given}")
        return
    try:
        config = read_config(folder)
        family = family_of(config, folder)
        files = weight_files(folder)
        tokens = TextTokenizer.load(folder).backend.get_vocab_size()
    except ModelError as error:
        raise ModelError(f"'{name}' is here and whole ({folder}), but tunesmith cannot use it: {error}") from None
    kind = "native" if family.model_type != "auto" else "by transformers' own class"
    shards = f"{len(files)} files" if len(files) > 1 else files[0].name
    console.print(f"Model: {config['model_type']}, {kind}; weights: {shards}; tokenizer: {tokens:,} tokens")
    console.print(
        f"Next: tunesmith chat {given}\n      tunesmith train model={given} data.train=my.json output=runs/mine"
    )


def _found(name: str) -> Path | None:
    """Return the folder that the model's name stands for on this machine."""
    try:
        return locate(name).resolve()
    except ModelError:
        return None
