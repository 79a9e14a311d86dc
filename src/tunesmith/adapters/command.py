"""tunesmith adapter list | compare | merge | move: the command lines and what they print."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from ..errors import ConfigError
from ..options import expand


@dataclass(frozen=True)
class ListOptions:
    """What `tunesmith adapter list` can be told."""

    folders: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FOLDER...]", help="Adapters, runs, or folders of these. Default: runs."),
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the table.")] = False


@dataclass(frozen=True)
class CompareOptions:
    """What `tunesmith adapter compare` can be told."""

    first: Annotated[str, typer.Argument(metavar="A", help="An adapter's folder, or a run's.")]
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")]
    data: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help="Also compare logits on rows of this file; repeatable.")
    ] = None
    rows: Annotated[int, typer.Option(min=1, help="With --data: how many of its rows.")] = 16
    layers: Annotated[int, typer.Option(min=0, help="How many layers are shown; 0: all.")] = 20
    device: Annotated[str | None, typer.Option(help="With --data. Default: the GPU if there is one, else cpu.")] = None
    dtype: Annotated[str | None, typer.Option(help="With --data: bfloat16, float16, float32.")] = None
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of the tables.")] = False


@dataclass(frozen=True)
class MergeOptions:
    """What `tunesmith adapter merge` can be told."""

    adapters: Annotated[list[str], typer.Argument(metavar="A B...", help="Two or more adapters or runs of one base.")]
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder.")]
    weights: Annotated[
        str | None, typer.Option(metavar="W1,W2", help="One number for each. Default: equal, 1 in all.")
    ] = None
    method: Annotated[str, typer.Option(help="cat (exact), linear, svd, ties, dare_linear, dare_ties, ...")] = "cat"
    density: Annotated[float, typer.Option(help="ties, dare, prune: the share of numbers that is kept.")] = 0.5
    rank: Annotated[int | None, typer.Option(min=1, help="svd: of the result. Default: the largest one.")] = None
    seed: Annotated[int, typer.Option(help="dare: what is drawn.")] = 0
    device: Annotated[str, typer.Option(help="Where it is computed.")] = "cpu"


@dataclass(frozen=True)
class MoveOptions:
    """What `tunesmith adapter move` can be told."""

    adapter: Annotated[str, typer.Argument(metavar="A", help="An adapter's folder, or a run's.")]
    to: Annotated[str, typer.Option(metavar="BASE", help="The base model that it is to belong to.")]
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder.")]
    other_weights: Annotated[
        bool, typer.Option("--other-weights", help="Also where the base has other weights than those it learned on.")
    ] = False


def _list(options: ListOptions) -> None:
    """List adapters: base, settings, size, what was trained in full beside them, and whether the run verified them.

    The base is looked up and its fingerprint compared: "same" is the base that the adapter was trained on.
    """
    from .listing import SHORT, entries

    found = entries(options.folders or ["runs"])
    if options.json:
        print(json.dumps([asdict(entry) for entry in found], ensure_ascii=False, indent=2))
        return
    columns = ("adapter", "base", "settings", "parameters", "state")
    table = Table(*(Column(name, overflow="fold") for name in columns))
    for one in found:
        if not one.fault:
            kinds = " ".join(target.removesuffix("_proj") for target in one.targets)
            table.add_row(
                one.name,
                f"{one.base}\n{one.fingerprint[:SHORT] or 'no fingerprint'}: {one.here}",
                f"{one.kind}, rank {one.rank}, alpha {one.alpha:g}\n{kinds}",
                f"{one.parameters:,}" + (f"\n+ {one.beside:,} in full" if one.beside else ""),
                one.state,
            )
    screen = _screen()
    if table.row_count:
        screen.print(table)
    for one in found:
        if one.fault:
            screen.print(f"{one.name}: {one.fault}", soft_wrap=True)


def _compare(options: CompareOptions) -> None:
    """Compare two adapters: base, settings, and what each adds to every layer, the largest first.

    The norm is that of dW = scale * B A; the cosine says how far both point the same way (1: alike, 0: unrelated, -1:
    opposite). With --data both models read the first rows of the files, and their logits are compared.
    """
    from .compare import compare, logits_apart
    from .folder import Adapter

    first, second = Adapter.of(options.first), Adapter.of(options.second)
    found = compare(first, second)
    apart = None
    if options.data:
        names = (options.first, options.second)
        apart = logits_apart(names, options.data, options.rows, options.device, options.dtype)
    if options.json:
        content = {**asdict(found), "logits": None if apart is None else asdict(apart)}
        print(json.dumps(_finite(content), ensure_ascii=False, indent=2))
        return
    screen = _screen()
    bases = {True: "the same base", False: "different bases", None: "a base that one of them does not name"}
    screen.print(f"{options.first} and {options.second} were trained on {bases[found.same_base]}.", soft_wrap=True)
    for key, (one, other) in found.settings.items():
        screen.print(f"  {key}: {one} | {other}", soft_wrap=True)
    if any(found.trained):
        screen.print(f"  tensors trained in full beside them: {found.trained[0]} | {found.trained[1]}")
    shown = found.layers[: options.layers or None]
    table = Table("layer", f"norm of {Path(options.first).name}", f"norm of {Path(options.second).name}", "cosine")
    for layer in (found.whole, *shown):
        table.add_row(layer.name, *(_number(value) for value in (*layer.norms, layer.cosine)))
    screen.print(table)
    if len(shown) < len(found.layers):
        screen.print(f"{len(found.layers) - len(shown)} more layers; --layers 0 shows all.")
    if apart is not None:
        screen.print(
            f"On {apart.rows} rows ({apart.positions} positions): logits differ by {apart.mean:.3g} in the mean and by "
            f"{apart.largest:.3g} at most; at {apart.changed} positions another token is the likeliest.",
            soft_wrap=True,
        )


def _merge(options: MergeOptions) -> None:
    """Merge adapters of one base into one new adapter, by PEFT's methods; the sources stay as they are.

    cat is the weighted sum itself; its rank is the sum of all ranks. svd brings it to a smaller rank. linear adds the
    matrices A and B themselves: a rough estimate of the sum. ties and dare leave small or random parts out.
    """
    from .merge import Plan, merge

    plan = Plan(options.method, _weights(options.weights), options.density, options.rank, options.seed, options.device)
    done, screen = merge(options.adapters, options.output, plan), _screen()
    for note in done.notes:
        screen.print(note, soft_wrap=True)
    screen.print(
        f"{done.folder}: rank {done.rank}; what it adds differs from the weighted sum by {done.apart:.2g} of that.",
        soft_wrap=True,
    )


def _move(options: MoveOptions) -> None:
    """Write a copy of an adapter that belongs to another base with the same layers; the source stays as it is.

    Refused where architecture, layer names or shapes differ. Where only the weights differ, --other-weights is needed:
    whether the adapter does anything good there is not known before it is measured.
    """
    from .move import move

    folder = move(options.adapter, options.to, options.output, options.other_weights)
    _screen().print(f"{folder}: the adapter of '{options.adapter}', for the base '{options.to}'.", soft_wrap=True)


def _weights(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(
            f"--weights {text}: write numbers with commas between, one for each adapter: 0.7,0.3."
        ) from None


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4g}"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _screen() -> Console:
    return Console(file=sys.stdout, highlight=False, markup=False)


list_ = expand(_list, ListOptions)
compare = expand(_compare, CompareOptions)
merge = expand(_merge, MergeOptions)
move = expand(_move, MoveOptions)
