"""What adapters there are: of each its base, its settings, its size, what was trained beside it, and how it stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from ..errors import AdapterError, ModelError, UserError
from ..locate import locate
from ..models.adapter import CONFIG, base_of
from ..models.weights import fingerprint
from ..runs import STATUS
from .folder import Adapter

SHORT = 12
"""Characters of a fingerprint that are shown."""


@dataclass(frozen=True)
class Entry:
    """A line of the list. `fault` says why there is nothing else; the other fields are then empty.

    `base` is what the adapter calls it, `fingerprint` that of the base it was trained on, `here`: "same", "another
    one", "not here", or "not said". `targets`: the kinds of layers. `parameters` of the adapter, `beside` of what was
    trained in full. `state`: "verified", "not verified", the state of an unfinished run, or "no run".
    """

    name: str
    fault: str = ""
    base: str = ""
    fingerprint: str = ""
    here: str = ""
    kind: str = ""
    rank: str = ""
    alpha: float = 0.0
    targets: tuple[str, ...] = ()
    parameters: int = 0
    beside: int = 0
    state: str = ""


def entries(folders: Sequence[str | Path]) -> list[Entry]:
    """Return an entry for each adapter among the folders, and in the folders right inside of them.

    Raises:
        ModelError: a folder is not there. AdapterError: there is no adapter at all.
    """
    found = [entry for folder in folders for entry in _in(locate(folder), str(folder))]
    if not found:
        places = ", ".join(f"'{folder}'" for folder in folders)
        raise AdapterError(f"There is no adapter in {places}: neither an adapter's folder, nor runs that have one.")
    return found


def _in(folder: Path, name: str) -> Iterator[Entry]:
    if _is_one(folder):
        yield entry_of(name)
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if _is_one(inner):
            yield entry_of(inner)


def _is_one(folder: Path) -> bool:
    return (folder / CONFIG).is_file() or (folder / STATUS).is_file()


def entry_of(name: str | Path) -> Entry:
    """Return what can be said of a folder; a mistake in it becomes the entry's `fault`."""
    try:
        adapter = Adapter.of(name)
        pairs, beside = adapter.pairs, adapter.trained
    except UserError as error:
        return Entry(str(name), fault=str(error))
    ranks = sorted({pair.rank for pair in pairs.values()})
    identity, config = adapter.identity, adapter.config
    return Entry(
        str(name),
        base=str(identity.get("base") or config.get("base_model_name_or_path") or "-"),
        fingerprint=str(identity.get("base_fingerprint", "")),
        here=_here(adapter),
        kind=kind_of(config, identity),
        rank="-".join(map(str, (ranks[0], ranks[-1]) if len(ranks) > 1 else ranks)),
        alpha=float(config.get("lora_alpha", 0)),
        targets=tuple(sorted({layer.rpartition(".")[2] for layer in pairs})),
        parameters=sum(tensor.numel() for tensor in adapter.tensors.values()),
        beside=sum(prod(stored.shape) for stored in beside.values()),
        state=_state(adapter.status),
    )


def kind_of(config: dict[str, Any], identity: dict[str, Any]) -> str:
    """Return the kind of LoRA in words."""
    words = [word for word, key in (("DoRA", "use_dora"), ("rsLoRA", "use_rslora")) if config.get(key)]
    return " ".join([*words, *(["QLoRA"] if identity.get("quantisation") else [])]) or "LoRA"


def _here(adapter: Adapter) -> str:
    if "base_fingerprint" not in adapter.identity:
        return "not said"
    try:
        same = fingerprint(base_of(adapter.folder)) == adapter.identity["base_fingerprint"]
    except (AdapterError, ModelError):
        return "not here"
    return "same" if same else "another one"


def _state(status: dict[str, Any]) -> str:
    if not status:
        return "no run"
    if status.get("state") != "finished":
        return str(status.get("state", "unknown"))
    return "verified" if status.get("verified") else "not verified"
