"""The rows of a run: from its data settings to what the trainer takes, batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..data.chat import RenderOptions
from ..data.chats import load_chat
from ..data.collate import Collator, PictureLoader
from ..data.flow import Work
from ..data.order import EpochOrder
from ..data.pack import PackedRows, pack
from ..data.pipeline import DataReport, Preparation, Prepared, Weight, expand_all, split, weigh
from ..data.stream import StreamOptions, StreamRows
from ..errors import DataError
from ..locate import locate
from ..models.load import Loaded
from ..models.segments import NAME as SEGMENTS
from ..models.segments import Packing, packing_of
from .settings import TrainConfig
from .setup import Setup


@dataclass(frozen=True)
class Rows:
    """The rows of a run; `pad_id` fills batches up.

    `items` is what the trainer takes from: `train` itself, packs of its rows, or a stream (then `train` is None).
    `order` is the order of the items; a stream has its own.
    """

    train: Prepared | None
    validation: Prepared | None
    pad_id: int
    fingerprint: str
    items: Any
    order: EpochOrder | None = None
    loader: PictureLoader | None = None

    @property
    def collator(self) -> Collator:
        """What makes batches of items."""
        return Collator(self.pad_id, self.loader)

    @property
    def report(self) -> DataReport:
        """What became of the training records; of a stream, of those that have been read."""
        report: DataReport = self.items.report if self.train is None else self.train.report
        return report

    def few(self) -> list[Any]:
        """Return a few short items, to try things on."""
        if self.train is None:
            return [item for item, _ in zip(self.items, range(4), strict=False)]
        return [self.items[int(number)] for number in np.argsort(self.items.lengths, kind="stable")[:4]]


def prepare_rows(config: TrainConfig, setup: Setup) -> Rows:
    """Read, parse and render the records, or open what an earlier run prepared; say what was kept and cut."""
    tokenizer, chat = load_chat(locate(config.model))
    data = config.data
    options = RenderOptions(data.max_length, data.end_of_turn, data.loss_on)
    work = Work(chat, tokenizer, options, data.format)

    def rows(name: str, files: list[str]) -> Prepared:
        bar = Progress(
            TextColumn(f"{name} data"),
            BarColumn(),
            TextColumn("{task.fields[records]:,} records"),
            TimeRemainingColumn(),
            console=setup.console,
            transient=True,
        )
        with bar:
            task = bar.add_task(name, total=1.0, records=0)

            def show(records: int, share: float) -> None:
                bar.update(task, completed=share, records=records)

            prepared = Preparation(work, data.on_bad, data.processes, show).run(files)
        say_report(setup.say, name, prepared.report)
        return prepared

    validation = rows("Validation", data.validation) if data.validation else None
    if data.streaming:
        return _stream(config, setup, work, validation)
    train = rows("Training", data.train_paths)
    fingerprint = train.fingerprint + (validation.fingerprint if validation is not None else "")
    if data.validation_share:
        train, validation = split(train, data.validation_share, config.training.seed)
        setup.say(f"Set apart for validation: {len(validation)} rows; for training: {len(train)}.")
    weights = _weights(config)
    weighed = weigh(train, [weights[path] for path in train.rows.files], config.training.seed)
    if weighed is not train:
        setup.say(f"With the weights of the sources: {len(weighed)} rows an epoch.")
    return Rows(weighed, validation, tokenizer.pad_id, fingerprint, weighed, loader=_loader(work))


def arrange(config: TrainConfig, setup: Setup, loaded: Loaded, rows: Rows) -> Rows:
    """Choose how rows share batches: packed, grouped by length, or as they come; say it, and what padding that leaves.

    Packing needs a model that keeps the rows of a pack apart; this is proven on the loaded model, not assumed.
    """
    data, settings = config.data, config.training
    budget = None
    if data.packing:
        packing = packing_of(loaded.model)
        why = packing if isinstance(packing, str) else _why_not(packing, data.max_length, setup.device.type)
        if why is None:
            budget = data.pack_length or data.max_length
        else:
            setup.say(f"Packing: not with this model ({why}); rows of similar length share batches instead.")
    if rows.train is None:
        stream = rows.items
        stream.options = replace(stream.options, budget=budget, group_by_length=data.group_by_length or data.packing)
        setup.say(f"Streaming: {data.shuffle_window:,} rows are held and shuffled together; nothing is kept on disk.")
        return rows
    if budget is not None:
        packs = pack(rows.train.lengths, budget, settings.seed)
        items = PackedRows(rows.train, packs)
        order = EpochOrder(items.lengths, settings.batch_size, settings.seed)
        setup.say(
            f"Packing: {len(rows.train):,} rows in {len(packs):,} packs of at most {budget:,} tokens; "
            f"padding {padding_share(order):.1%}. A batch of {settings.batch_size} packs holds about "
            f"{settings.batch_size * len(rows.train) / len(packs):.0f} rows."
        )
        return replace(rows, items=items, order=order)
    grouped = data.group_by_length or data.packing
    order = EpochOrder(rows.train.lengths, settings.batch_size, settings.seed, grouped)
    how = "of similar length" if grouped else "as they come"
    setup.say(f"Batches: {settings.batch_size} rows {how}; padding {padding_share(order):.1%}.")
    return replace(rows, order=order)


def _why_not(packing: Packing, max_length: int, device: str) -> str | None:
    """Return why a model that could be trained on packs should not be."""
    if packing.longest is not None and max_length > packing.longest:
        return f"its positions are stretched in rows of more than {packing.longest:,} tokens, for all rows of a batch"
    if device == "cpu" and packing.attention != SEGMENTS:
        return "on a CPU its attention cannot be computed segment by segment, and a full mask costs more than padding"
    return None


def padding_share(order: EpochOrder) -> float:
    """Return how much of the first epoch's batches is padding: 0 to 1."""
    lengths = order.lengths[order.indexes()]
    filled = np.concatenate([lengths, np.zeros(-len(lengths) % order.batch_size, np.int64)])
    batches = filled.reshape(-1, order.batch_size)
    rows = (batches > 0).sum(axis=1)  # the last batch may have fewer
    return 1.0 - float(lengths.sum()) / float((batches.max(axis=1) * rows).sum())


def say_report(say: Callable[[str], None], name: str, report: DataReport) -> None:
    """Say what became of the records of some files: nothing is dropped or cut without a word."""
    rows = sum(file.kept - file.unlearned for file in report.files)
    say(f"{name} data: {rows:,} records, {report.tokens:,} tokens, {report.label_tokens:,} of them learned from.")
    for file in report.files:
        for note in file.notes:
            say(f"  {file.path}: {note}.")
        if file.unlearned:
            say(f"  {file.path}: {file.unlearned:,} answers are marked as bad ones (label false): not learned from.")
        for error in file.bad:
            say(f"  left out (data.on_bad=skip): {error}")
    if report.cut_rows:
        say(
            f"  {report.cut_rows} rows are longer than data.max_length and were cut at the right: {report.cut_tokens:,} "
            f"tokens, {report.cut_label_tokens:,} of them answers. Raise data.max_length to keep them."
        )


def _weights(config: TrainConfig) -> dict[str, Weight]:
    """Return what each data file counts."""
    weights = {}
    for number, source in enumerate(config.data.train_paths):
        for path in expand_all([source])[0]:
            weights[path] = Weight(*config.data.weights_of(number))
    return weights


def _stream(config: TrainConfig, setup: Setup, work: Work, validation: Prepared | None) -> Rows:
    data, settings = config.data, config.training
    paths, broken = expand_all(data.train_paths)
    if broken:
        raise DataError("\n".join(map(str, broken)))
    options = StreamOptions(
        settings.batch_size,
        settings.seed,
        data.shuffle_window,
        skip_bad=data.on_bad == "skip",
        processes=data.processes,
        loss_weights={path: weight.loss for path, weight in _weights(config).items()},
    )
    assert work.tokenizer is not None  # made with one
    fingerprint = Preparation(work).key(paths) + (validation.fingerprint if validation is not None else "")
    digest = hashlib.sha256(fingerprint.encode()).hexdigest()
    rows = StreamRows(paths, work, options)
    return Rows(None, validation, work.tokenizer.pad_id, digest, rows, loader=_loader(work))


def _loader(work: Work) -> PictureLoader | None:
    """Return what opens pictures, for a model that sees."""
    slicing = getattr(work.chat, "slicing", None)
    return PictureLoader(slicing) if slicing is not None else None
