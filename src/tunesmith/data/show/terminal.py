"""Views on a terminal: in colour there, and with marks instead (`[learned: ...]`) where there is no colour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..types import IGNORE
from . import visible
from .proof import Proof
from .rows import KINDS, Kind, Row, Shown, View

MEANINGS: dict[Kind, str] = {
    "begin": "begins the row: given, not predicted",
    "prompt": "read, not learned",
    "context": "an answer that is read, but not learned",
    "learned": "predicted: what is learned",
    "stop": "the learned end of an answer",
    "cut": "over max_length: not seen at all",
}
STYLES: dict[Kind, str] = {
    "begin": "magenta",
    "prompt": "",
    "context": "yellow",
    "learned": "black on green",
    "stop": "bold white on red",
    "cut": "strike bright_black",
}
BY_LABEL = "stop by label"
_MARK = "italic cyan"


@dataclass
class Terminal:
    """Prints views on `console`; `tokens` limits how many tokens of a row are printed; `ids` adds a line for each."""

    console: Console
    tokens: int | None = None
    ids: bool = False
    colour: bool = field(init=False)

    def __post_init__(self) -> None:
        """Find out whether there is colour."""
        self.colour = self.console.is_terminal and not self.console.no_color

    def legend(self) -> None:
        """Print what the colours or marks mean."""
        rows: list[tuple[Text, str]] = []
        for kind in KINDS:
            mark = Text.assemble((kind, STYLES[kind])) if self.colour else Text(f"[{kind}: ...]")
            rows.append((mark, MEANINGS[kind]))
        label = Text.assemble("⟨", ("</s>", _MARK), "⟩") if self.colour else Text(f"[{BY_LABEL}: </s>]")
        rows.append((label, "the end is learned here by a label alone; the row goes on"))
        spaces = f"{visible.SPACE_MARK} space  " if self.colour else ""
        glyphs = f"{spaces}{visible.NEWLINE_MARK} line end  {visible.TAB_MARK} tab"
        table = Table.grid(padding=(0, 2))
        for mark, text in rows:
            table.add_row(mark, Text(text))
        table.add_row(Text(glyphs.partition("  ")[0], "dim"), Text(glyphs.partition("  ")[2], "dim"))
        if self.colour:
            table.add_row(Text.assemble(("ab", "underline")), Text("every other token is underlined", "dim"))
        self.console.print(table)

    def view(self, view: View) -> None:
        """Print one record."""
        self._title(f"Record {view.record}", str(view.origin))
        if view.error is not None:
            self._say(Text.assemble(("✗ bad record: ", "bold red"), visible.one_line(_fault(view))))
        for number, row in enumerate(view.rows, start=1):
            if len(view.rows) > 1:
                self._say(Text(f"Row {number} of {len(view.rows)}", "bold"))
            self._row(row)
            self.console.print(figures(row), soft_wrap=not self.console.is_terminal)
        for note in notes(view):
            self._say(Text(note))
        for proof in view.proofs:
            sign, style = ("✓", "green") if proof.holds else ("✗", "bold red")
            self._say(Text.assemble((f"{sign} ", style), proof_text(proof, view.rows[0].shown)))

    def _title(self, name: str, origin: str) -> None:
        self.console.print()
        self._say(Text.assemble((name, "bold"), "  ", (visible.one_line(origin), "dim")))

    def _say(self, text: Text) -> None:
        self.console.print(text, soft_wrap=not self.console.is_terminal)

    def _row(self, row: Row) -> None:
        shown, left = _limited(row.shown, self.tokens)
        for line in wrapped(self._pieces(shown), self.console.width if self.console.is_terminal else None):
            self.console.print(line, soft_wrap=True)
        if left:
            self._say(Text(f"... {left} more tokens of this row are not shown (--tokens {self.tokens}).", "bold"))
        if self.ids:
            self.console.print(_listing(shown), soft_wrap=not self.console.is_terminal)

    def _pieces(self, shown: list[Shown]) -> Iterator[Text]:
        """Yield the row in pieces that stay on one line; a line end is a piece of its own."""
        open_kind: Kind | None = None
        for number, item in enumerate(shown):
            if item.taught and item.kind != "cut":
                if not self.colour and open_kind:
                    yield Text("]")
                    open_kind = None
                mark = Text.assemble("⟨", (item.taught, _MARK), "⟩")
                yield mark if self.colour else Text(f"[{BY_LABEL}: {item.taught}]")
            if not self.colour and item.kind != open_kind:
                yield Text(f"{']' if open_kind else ''}[{item.kind}: ")
                open_kind = item.kind
            style = STYLES[item.kind] + (" underline" if number % 2 else "") if self.colour else ""
            yield from self._token(item, style.strip())
        if open_kind:
            yield Text("]")

    def _token(self, item: Shown, style: str) -> Iterator[Text]:
        piece = Text(style=style)
        for sort, part in visible.parts(item.text):
            if sort == "text":
                piece.append(part)
            elif sort == "space":
                piece.append(visible.SPACE_MARK if self.colour else " ", "dim" if self.colour else "")
            elif sort == "control":
                piece.append(f"<{part}>", "bold" if self.colour else "")
            else:
                piece.append(visible.NEWLINE_MARK if sort == "newline" else visible.TAB_MARK)
                if sort == "newline":
                    yield piece
                    yield Text("\n")
                    piece = Text(style=style)
        if piece.plain:
            yield piece


def wrapped(pieces: Iterator[Text], width: int | None) -> Iterator[Text]:
    """Yield lines of at most `width` cells (None: as long as they are), broken between tokens where that is possible."""
    line, used = Text(), 0
    for piece in pieces:
        if piece.plain == "\n":
            yield line
            line, used = Text(), 0
            continue
        size = cell_len(piece.plain)
        if width is None or used + size <= width:
            line, used = line.append_text(piece), used + size
            continue
        if used and size <= width:
            yield line
            line, used = piece.copy() if piece.style == "" else Text().append_text(piece), size
            continue
        for character in piece.divide(range(1, len(piece))):  # longer than a line
            size = cell_len(character.plain)
            if used + size > width:
                yield line
                line, used = Text(), 0
            line, used = line.append_text(character), used + size
    if line.plain:
        yield line


def figures(row: Row) -> Table:
    """Return the counts of a row as a table."""
    counts = row.counts
    table = Table.grid(padding=(0, 3))
    cut = f"{counts.cut:,} ({counts.cut_labels:,} of them to learn)" if counts.cut else "0"
    table.add_row(*(Text(name, "dim") for name in ("tokens", "learned", "share", "stops", "cut")))
    table.add_row(f"{counts.tokens:,}", f"{counts.learned:,}", f"{counts.share:.0%}", f"{counts.stops:,}", cut)
    return table


def notes(view: View) -> list[str]:
    """Return what is to be said about a record besides its tokens."""
    found = []
    if view.plain:
        found.append("Plain text: learned whole, without a chat layout.")
    if view.disliked:
        found.append("Its answer is marked as a bad one: nothing of it is learned.")
    if view.rejected:
        found.append("Preference data: the better answer is shown; the worse one is not.")
    return found


def proof_text(proof: Proof, shown: list[Shown]) -> str:
    """Return a proof as a sentence."""
    if proof.holds:
        return f"answer {proof.answer}: the {proof.compared:,} tokens before it are exactly what chat sends."
    if proof.fault == "refused":
        return f"answer {proof.answer}: chat cannot send the conversation before it: {visible.one_line(proof.reason)}"
    if proof.fault == "ends early":
        return (
            f"answer {proof.answer}: chat's prompt ends after {proof.compared:,} tokens, but the answer does not begin "
            f"there in the row (token {proof.position}: {token_text(proof.row, shown)})."
        )
    if proof.fault == "ends late":
        return (
            f"answer {proof.answer}: in the row it begins with token {proof.position} ({token_text(proof.row, shown)}), "
            f"but chat's prompt of {proof.compared:,} tokens goes on behind that."
        )
    return (
        f"answer {proof.answer}: training and chat differ from token {proof.position} on: the row has "
        f"{token_text(proof.row, shown)}, chat sends {token_text(proof.sent, shown)}."
    )


def token_text(number: int | None, shown: list[Shown]) -> str:
    """Return an id, with its spelling where the row has it."""
    if number is None:
        return "nothing"
    names = {one: name for item in shown for one, name in zip(item.ids, item.names, strict=True)}
    return f"{number} '{visible.one_line(names[number])}'" if number in names else str(number)


def _fault(view: View) -> str:
    error = view.error
    return f"field '{error.field}': {error.reason} {error.mend}" if error is not None else ""


def _limited(shown: list[Shown], tokens: int | None) -> tuple[list[Shown], int]:
    """Return the first texts of a row that hold at most `tokens` tokens, and how many tokens are left."""
    if tokens is None:
        return shown, 0
    held, used = [], 0
    for item in shown:
        if used + len(item.ids) > tokens:
            break
        held.append(item)
        used += len(item.ids)
    return held, sum(len(item.ids) for item in shown) - used


def _listing(shown: list[Shown]) -> Table:
    """Return one line for each token: position, id, spelling, kind, label."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("at", "id"):
        table.add_column(name, justify="right")
    for name in ("token", "text", "kind", "label"):
        table.add_column(name)
    for item in shown:
        for place, (number, name, label) in enumerate(zip(item.ids, item.names, item.labels, strict=True)):
            learned = "-" if label == IGNORE else f"{label} {item.taught}".strip() if item.taught else str(label)
            text = visible.one_line(item.text) if place == 0 else '"'
            kind = Text(item.kind, STYLES[item.kind] if item.kind != "cut" else "bright_black")
            cells = (Text(visible.one_line(name)), Text(text), kind, Text(learned))
            table.add_row(str(item.position + place), str(number), *cells)
    return table
