"""tunesmith data show FILE --model DIR: on the terminal, as a page (--html), or as JSON lines (--json)."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from ...errors import ConfigError
from ...locate import locate
from ...options import expand
from .. import sources
from ..chat import RenderOptions
from ..chats import load_chat
from ..picture_files import Addresses, PictureFiles
from .reading import Reading, wanted
from .rows import Microscope, View
from .terminal import Terminal, proof_text

ON_TERMINAL, ON_PAGE = 3, 20
"""How many records are shown where none is asked for."""


@dataclass(frozen=True)
class Options:
    """What `tunesmith data show` can be told."""

    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of records.")]
    model: Annotated[str, typer.Option(metavar="DIR", help="A model's folder or name; its tokenizer is enough.")]
    record: Annotated[int | None, typer.Option(metavar="N", help="Show record N, counted from 0.")] = None
    count: Annotated[
        int | None, typer.Option(metavar="K", help="Show K records. Default: 3, with --html 20, with --json all.")
    ] = None
    html: Annotated[str | None, typer.Option(metavar="OUT", help="Write a page that needs no network.")] = None
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line for each row.")] = False
    max_length: Annotated[
        int | None, typer.Option(min=1, help="Cut rows to this many tokens, as training does. Default: whole rows.")
    ] = None
    end_of_turn: Annotated[
        Literal["every", "last"], typer.Option(help="Which answers' ends are taught (MiniCPM's layout).")
    ] = "every"
    loss_on: Annotated[
        Literal["answers", "last_answer", "all"], typer.Option(help="What is learned of a conversation.")
    ] = "answers"
    format: Annotated[str | None, typer.Option(metavar="NAME", help="Default: found out from the records.")] = None
    chat_template: Annotated[
        str | None, typer.Option(metavar="NAME", help="A shipped template or a .jinja file. Default: the model's own.")
    ] = None
    picture_root: Annotated[
        list[str] | None, typer.Option(metavar="DIR", help="Pictures may lie here too; may be repeated.")
    ] = None
    fetch_pictures: Annotated[bool, typer.Option("--fetch-pictures", help="Fetch pictures of the web.")] = False
    tokens: Annotated[int | None, typer.Option(metavar="N", min=1, help="Print N tokens of a row at most.")] = None
    ids: Annotated[bool, typer.Option("--ids", help="Print a line for each token, with its id and label.")] = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Let --html replace a file of another kind.")] = False

    @property
    def render_options(self) -> RenderOptions:
        """How rows are made."""
        return RenderOptions(self.max_length, self.end_of_turn, self.loss_on)

    @property
    def pictures(self) -> PictureFiles:
        """Which pictures may be read."""
        addresses: Addresses = "fetch" if self.fetch_pictures else "refuse"
        return PictureFiles.of(self.picture_root or (), addresses, "--picture-root")


def _show(options: Options) -> None:
    """See what the model sees of a record, and what it learns from it.

    Each token of the row that training gets (cut to --max-length, in training 1024 by default): prompt, learned, stop, cut; and for each answer the proof that the
    tokens before it are exactly what chat sends for the same conversation. No model is loaded.

    The exit status is 1 if a record is bad or a proof fails. With --json a bad record is a line with "error".
    """
    if options.json and options.html is not None:
        raise ConfigError("--json and --html are two outputs. Choose one.")
    for name in ("tokens", "ids"):
        if getattr(options, name) and (options.json or options.html is not None):
            raise ConfigError(f"--{name} is for the terminal: --json and --html hold all tokens with their ids.")
    default = None if options.json else ON_TERMINAL if options.html is None else ON_PAGE
    which = wanted(options.record, options.count, default)
    if options.html is not None:
        from .page import check

        check(Path(options.html), options.file, options.overwrite)
    tokenizer, chat = load_chat(locate(options.model), options.chat_template)
    microscope = Microscope(chat, tokenizer, options.render_options)
    reading = Reading(options.file, microscope, which, options.format, pictures=options.pictures)
    for said in sources.note(options.file):
        _warn(f"{options.file}: {said}")
    write = _lines if options.json else _print if options.html is None else _page
    if not write(reading, options):
        raise typer.Exit(1)


show = expand(_show, Options)


def _lines(reading: Reading, options: Options) -> bool:
    """Write JSON lines; return whether all is well."""
    well = True
    decode = reading.microscope.tokenizer.backend.decode
    for view in reading:
        well &= view.good
        if view.error is not None:
            print(json.dumps(_error(view), ensure_ascii=False))
        else:
            for row in view.rows:
                example = row.example
                assert example is not None  # the record is good
                text = decode(example.input_ids, skip_special_tokens=False)
                line = {"record": view.record, "input_ids": example.input_ids, "labels": example.labels, "text": text}
                print(json.dumps(line, ensure_ascii=False))
        for complaint in complaints(view):
            _warn(complaint)
    return well


def _error(view: View) -> dict[str, Any]:
    assert view.error is not None
    error = view.error
    fields = {"field": error.field, "reason": error.reason, "mend": error.mend, "line": view.origin.line}
    return {"record": view.record, "error": fields}


def complaints(view: View) -> list[str]:
    """Return what must not go unsaid beside the JSON of a record: it is bad, it is cut, a proof fails."""
    if view.error is not None:
        return [f"bad record: {view.error}"]
    found = []
    if cut := sum(row.counts.cut for row in view.rows):
        labels = sum(row.counts.cut_labels for row in view.rows)
        found.append(
            f"{view.origin}: {cut} tokens are cut ({labels} of them to learn). Raise --max-length to keep them."
        )
    shown = view.rows[0].shown
    found += [f"{view.origin}: {proof_text(proof, shown)}" for proof in view.proofs if not proof.holds]
    return found


def _print(reading: Reading, options: Options) -> bool:
    """Print views on the terminal; return whether all is well."""
    well, last = True, 0
    console = Console(highlight=False)
    terminal = Terminal(console, options.tokens, options.ids)
    for number, view in enumerate(reading):
        if not number:
            terminal.legend()
        terminal.view(view)
        well, last = well and view.good, view.record
    if reading.more and options.record is None and options.count is None:
        _warn(f"Shown: records 0 to {last}. The file has more: --count K, --record N, or --html OUT.")
    return well


def _page(reading: Reading, options: Options) -> bool:
    """Write the page; return whether all is well."""
    from .page import Page, write

    assert options.html is not None
    target = Path(options.html)
    page = Page.of(reading, options.model)
    write(target, page, options.overwrite)
    bad = sum(not view.good for view in page.views)
    found = f"{bad} of {len(page.views)} records are bad or fail the proof" if bad else "all good"
    _warn(f"Wrote {target}: {len(page.views)} records, {found}.")
    return not bad


def _warn(text: str) -> None:
    print(text, file=sys.stderr)
