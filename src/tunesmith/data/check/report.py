"""The report on the terminal: what is bad first, then findings by importance, then figures."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from .account import Bad, FileSum, Finding
from .advice import ADVICE
from .diagnosis import Diagnosis
from .lengths import Proposal, cut_rows
from .texts import counted, share

_GROUPS, _NAMED = 8, 3
"""How many kinds of fault, and places of each, are named; --json names all."""
_PLAIN = {ord("█"): "#", ord("▌"): "", ord("▏"): "|", ord("✗"): "x", ord("·"): "-", ord("…"): "..."}
"""For terminals that cannot show the signs."""


def print_report(diagnosis: Diagnosis, console: Console) -> None:
    """Print all that is reported."""
    for line, indent in _lines(diagnosis):
        for part in line.wrap(console, console.width - indent):
            part.rstrip()
            whole = Text(" " * indent).append_text(part)
            console.print(whole if console.encoding.startswith("utf") else whole.plain.translate(_PLAIN), markup=False)


def _lines(diagnosis: Diagnosis) -> Iterator[tuple[Text, int]]:
    """Yield each paragraph with its indentation."""
    yield _verdict(diagnosis), 0
    for file in diagnosis.files:
        yield _file(file), 2
    for file in diagnosis.files:
        if len(file.bad):
            yield Text(), 0
            yield from _bad(file)
    findings = diagnosis.findings
    for finding in findings:
        if finding is findings[0]:
            yield Text(), 0
        yield from _finding(finding, diagnosis)
    if not findings and diagnosis.kept:
        yield Text(), 0
        yield Text(f"Nothing {'' if diagnosis.usable else 'else '}conspicuous was found.", "green"), 0
    if diagnosis.kept:
        yield Text(), 0
        yield from _figures(diagnosis)


def _verdict(diagnosis: Diagnosis) -> Text:
    where = f"{counted(diagnosis.records, 'record')} in {counted(len(diagnosis.files), 'file')}"
    broken = sum(file.error is not None for file in diagnosis.files)
    bad = diagnosis.records - diagnosis.kept
    if not broken and not bad:
        return Text(f"{where}: all can be used.", "bold green")
    said = [f"{counted(bad, 'record')} cannot be used"] if bad else []
    said += [f"{counted(broken, 'file')} cannot be read to the end"] if broken else []
    return Text(f"{where}: {', '.join(said)}.", "bold red")


def _file(file: FileSum) -> Text:
    said = [file.format or "no known format", counted(file.records, "record")]
    said += ["for validation"] if file.validation else []
    said += [f"{len(file.bad):,} bad"] if len(file.bad) else []
    said += [f"{file.unlearned:,} not learned from (marked as bad answers)"] if file.unlearned else []
    text = Text.assemble((file.path, "bold"), f": {', '.join(said)}")
    return text.append(f"\n{file.error}", "red") if file.error is not None else text


def _bad(file: FileSum) -> Iterator[tuple[Text, int]]:
    """Yield the bad records of a file, those with the same fault together."""
    groups: dict[tuple[str, str, str], list[Bad]] = {}
    counts: dict[tuple[str, str, str], int] = {}
    for bad in file.bad:
        fault = (bad.field, bad.reason, bad.mend)
        counts[fault] = counts.get(fault, 0) + 1
        if counts[fault] <= _NAMED:
            groups.setdefault(fault, []).append(bad)
    ordered = sorted(groups, key=lambda fault: -counts[fault])
    for fault in ordered[:_GROUPS]:
        field, reason, mend = fault
        more = counts[fault] - len(groups[fault])
        places = "; ".join(_place(bad.record, bad.line) for bad in groups[fault])
        places += f" and {more:,} more" if more else ""
        yield Text.assemble(("✗ ", "bold red"), f"{file.path}, {places}, field '{field}': {reason} {mend}"), 0
    left = sum(counts[fault] for fault in ordered[_GROUPS:])
    if left:
        yield Text(f"... and {counted(left, 'more bad record')} with other faults; --json names all."), 2


def _place(record: int, line: int | None) -> str:
    return f"record {record}, line {line}" if line is not None else f"record {record}"


def _finding(finding: Finding, diagnosis: Diagnosis) -> Iterator[tuple[Text, int]]:
    advice = ADVICE[finding.kind]
    style, sign = ("bold yellow", "! ") if advice.level == "warning" else ("cyan", "· ")
    what = f"{counted(finding.records, 'record')} ({share(finding.records, diagnosis.kept)}): {advice.what}"
    tokens, model = diagnosis.account.tokens, diagnosis.model
    if finding.kind == "cut_answers" and model is not None:
        what += f" ({model.max_length:,}): {counted(finding.times, 'label token')}"
        training = not any(file.validation for file in diagnosis.files)  # the sums are those of training alone
        what += f" ({share(finding.times, tokens.all_labels)}) lost" if training else " lost"
    elif finding.kind == "gone_answers" and model is not None:
        what += f" ({model.max_length:,}, the training's own if nothing else is said)"
    elif finding.kind == "beyond_model" and model is not None:
        what += f" ({model.positions:,} tokens)"
    yield Text.assemble((sign, style), (f"{what}.", "bold" if advice.level == "warning" else "")), 0
    yield Text(advice.mend), 2
    several = len({place.path for place in finding.places}) > 1 or len(diagnosis.files) > 1
    for place in finding.places[: _NAMED if advice.level == "warning" else _NAMED - 1]:
        path = f"{place.path}, " if several else ""
        yield Text(f"{path}{_place(place.record, place.line)}: {place.detail}", "dim"), 2


def _figures(diagnosis: Diagnosis) -> Iterator[tuple[Text, int]]:
    """Yield languages, tokens, lengths and the proposed max_length."""
    lengths, tokens, model = diagnosis.lengths, diagnosis.account.tokens, diagnosis.model
    total = sum(count for _, count in diagnosis.languages)
    spoken = ", ".join(f"{name} {share(count, total)}" for name, count in diagnosis.languages[:4])
    yield _figure("Answers", f"{spoken}; {diagnosis.variety}"), 0
    if model is not None:
        learned = f"{tokens.all_labels:,} of them learned ({share(tokens.all_labels, tokens.tokens)})"
        yield _figure("Tokens", f"{tokens.tokens:,} an epoch, {learned}"), 0
        if tokens.byte_tokens:
            part = share(tokens.byte_tokens, tokens.tokens)
            yield _figure("", f"{part} of them are bytes of characters that the vocabulary lacks"), 0
        if tokens.labels:
            yield _figure("", "plain texts are cut into rows of max_length tokens and lose nothing"), 0
    if not len(lengths.values):
        return
    middle = f"median {lengths.below(0.5):,}, 95 % up to {lengths.below(0.95):,}, longest {lengths.below(1):,}"
    yield _figure("Lengths", f"{middle} {lengths.unit}"), 0
    yield from _histogram(diagnosis)
    if diagnosis.proposal is not None:
        yield _figure("max_length", _advised(diagnosis, diagnosis.proposal)), 0
    elif model is None:
        yield Text("Add --model NAME_OR_DIR for tokens, what max_length cuts, and what the vocabulary lacks."), 0


def _figure(name: str, text: str) -> Text:
    return Text.assemble((f"{name:<12}", "bold"), text)


def _histogram(diagnosis: Diagnosis) -> Iterator[tuple[Text, int]]:
    bars = diagnosis.lengths.histogram()
    most = max(count for _, _, count in bars)
    names = [f"{start:,} - {end:,}" for start, end, _ in bars]
    width = max(map(len, names))
    for name, (_, _, count) in zip(names, bars, strict=True):
        size = round(_BAR * count / most * 2) if count else 0
        bar = "█" * (size // 2) + "▌" * (size % 2) or ("▏" if count else "")
        yield Text.assemble(f"{name:>{width}} ", (f"{bar:<{_BAR}}", "cyan"), f" {count:,}"), 12


_BAR = 30


def _advised(diagnosis: Diagnosis, proposal: Proposal) -> str:
    model, lengths, tokens = diagnosis.model, diagnosis.lengths, diagnosis.account.tokens
    assert model is not None
    rows = cut_rows(lengths, model.max_length)
    now = "cuts nothing" if not rows else f"cuts {counted(rows, 'row')}"
    text = f"{model.max_length:,} (as now) {now}."
    cost = "cuts nothing"
    if proposal.cut_rows:
        lost = share(proposal.lost, tokens.all_labels)
        cost = f"cuts {counted(proposal.cut_rows, 'row')} and loses {lost} of the label tokens"
    if not rows and not proposal.limited:
        text += f" {proposal.whole:,} would do." if proposal.whole < model.max_length else ""
        return f"{text} {proposal.length:,} {cost}." if proposal.cut_rows else text
    if proposal.length == model.max_length:
        return f"{text} It suits these data."
    text += f" Proposed: {proposal.length:,}, which {cost}."
    if proposal.limited:
        text += f" The model sees no more than {proposal.length:,} tokens."
    if proposal.cut_rows:
        text += f" Nothing is cut from {proposal.whole:,} on."
    return text
