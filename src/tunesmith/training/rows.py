"""The rows of a run: from its data settings to what the trainer takes, batch by batch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .. import lookup
from ..data.chat import Answers, RenderOptions
from ..data.chats import load_chat
from ..data.collate import Collator, PictureLoader
from ..data.flow import Work
from ..data.order import EpochOrder, TokenOrder
from ..data.pack import PackedRows, pack, pack_alike
from ..data.picture_files import Addresses, PictureFiles
from ..data.pipeline import DataReport, Preparation, Prepared, Weight, expand_all, split, weigh
from ..data.prefixes import beginnings, saved_share
from ..data.stream import StreamOptions, StreamRows
from ..data.tokenizer import TextTokenizer
from ..errors import DataError
from ..locate import locate
from ..models.load import Loaded
from ..models.segments import Packing, packing_of
from ..models.tree import why_no_tree
from .settings import OBJECTIVES, TrainConfig
from .setup import Setup

WORTH = 0.2
"""The share of tokens from which on those that rows share are computed once, if nothing else is said."""
_LOOKED_AT = 32
"""Batches that the share is measured on."""


@dataclass(frozen=True)
class Rows:
    """The rows of a run; `work` is how they were made: the tokenizer, the chat format.

    `items` is what the trainer takes from: `train` itself, packs of its rows, or a stream (then `train` is None).
    `order` is the order of the items; a stream has its own. `shared`: tokens that rows of a batch share are computed
    once.
    """

    train: Prepared | None
    validation: Prepared | None
    work: Work
    fingerprint: str
    items: Any
    order: EpochOrder | None = None
    loader: PictureLoader | None = None
    shared: bool = False

    @property
    def collator(self) -> Collator:
        """What makes batches of items."""
        return Collator(self.pad_id, self.loader, self.pairs, self.shared)

    @property
    def pairs(self) -> bool:
        """Whether every row holds two answers."""
        return self.work.options.answers != "good"

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokenizer, with the chat template that the rows were made with."""
        assert self.work.tokenizer is not None  # made with one
        return self.work.tokenizer

    @property
    def pad_id(self) -> int:
        """What fills batches up."""
        return self.tokenizer.pad_id

    @property
    def count(self) -> int | None:
        """What the steps of an epoch follow from: the items, or where batches are filled by tokens, the batches."""
        if isinstance(self.order, TokenOrder):
            return self.order.batch_count
        return None if self.order is None else len(self.items)

    @property
    def report(self) -> DataReport:
        """What became of the training records; of a stream, of those that have been read."""
        report: DataReport = self.items.report if self.train is None else self.train.report
        return report

    def few(self) -> list[Any]:
        """Return a few short items, to try things on; where rows share tokens, the first ones, which may."""
        if self.train is None:
            return [item for item, _ in zip(self.items, range(4), strict=False)]
        if self.shared and self.order is not None:
            few = 2 if isinstance(self.items, PackedRows) else 4
            return [self.items[int(number)] for number in self.order.indexes()[:few]]
        return [self.items[int(number)] for number in np.argsort(self.items.lengths, kind="stable")[:4]]


def prepare_rows(config: TrainConfig, setup: Setup) -> Rows:
    """Read, parse and render the records, or open what an earlier run prepared; say what was kept and cut."""
    tokenizer, chat = load_chat(locate(config.model), config.chat_template)
    data = config.data
    options = RenderOptions(
        data.max_length, data.end_of_turn, data.loss_on, lookup.find(OBJECTIVES, config.objective.method).ANSWERS
    )
    addresses: Addresses = "fetch" if data.fetch_pictures else "refuse"
    pictures = PictureFiles.of(data.picture_roots, addresses, "data.picture_roots")
    work = Work(chat, tokenizer, options, data.format, pictures=pictures)

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
        say_report(setup.say, name, prepared.report, options.answers)
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
    return Rows(weighed, validation, work, fingerprint, weighed, loader=_loader(work))


def arrange(config: TrainConfig, setup: Setup, loaded: Loaded, rows: Rows) -> Rows:
    """Choose how rows share batches: what they share, packed, grouped by length, or as they come.

    It is said, and what padding that leaves.

    Packing needs a model that keeps the rows of a pack apart; this is proven on the loaded model, not assumed.
    """
    if (shared := _sharing(config, setup, loaded, rows)) is not None:
        return shared
    data, settings = config.data, config.training
    together = settings.gradient_accumulation_steps * setup.ranks.world  # batches of an optimiser step
    budget = None
    if data.packing:
        packing = packing_of(loaded.model)
        why = packing if isinstance(packing, str) else packing.why_not(data.max_length, setup.device.type)
        if rows.work.options.answers == "judged":
            why = f"{config.objective.method} computes the second answer of each row without gradients"
        if why is None:
            budget = _budget(config, rows)
            if isinstance(packing, Packing) and packing.note:
                setup.say(f"Packing: {packing.note}; a mask over each whole row is used instead, which is slower.")
        else:
            setup.say(f"Packing: not with this model ({why}); rows of similar length share batches instead.")
    if rows.train is None:
        stream = rows.items
        stream.options = replace(
            stream.options,
            budget=budget,
            group_by_length=data.group_by_length or data.packing,
            rank=setup.ranks.rank,
            world=setup.ranks.world,
            step_batches=together,
        )
        setup.say(f"Streaming: {data.shuffle_window:,} rows are held and shuffled together; nothing is kept on disk.")
        return rows
    if budget is not None:
        packs = pack(rows.train.lengths, budget, settings.seed)
        items = PackedRows(rows.train, packs)
        order = EpochOrder(items.lengths, settings.batch_size, settings.seed, step_batches=together)
        setup.say(
            f"Packing: {len(rows.train):,} rows in {len(packs):,} packs of at most {budget:,} tokens; "
            f"padding {padding_share(order):.1%}. A batch of {settings.batch_size} packs holds about "
            f"{settings.batch_size * len(rows.train) / len(packs):.0f} rows."
        )
        return replace(rows, items=items, order=order)
    if settings.batch_tokens is not None:
        filled = TokenOrder(rows.train.lengths, settings.batch_tokens, settings.seed)
        setup.say(
            f"Batches: {len(filled):,} rows in {filled.batch_count:,} batches of at most {settings.batch_tokens:,} tokens, "
            f"rows of similar length in each; padding {padding_share(filled):.1%}."
        )
        return replace(rows, order=filled)
    grouped = data.group_by_length or data.packing
    order = EpochOrder(rows.train.lengths, settings.batch_size, settings.seed, grouped, together)
    how = "of similar length" if grouped else "as they come"
    padding = "" if rows.pairs else f"; padding {padding_share(order):.1%}"
    setup.say(f"Batches: {settings.batch_size} {'records' if rows.pairs else 'rows'} {how}{padding}.")
    return replace(rows, order=order)


def _budget(config: TrainConfig, rows: Rows) -> int:
    """Return how many tokens a pack may have."""
    return config.data.pack_length or config.data.max_length * (2 if rows.pairs else 1)


def _sharing(config: TrainConfig, setup: Setup, loaded: Loaded, rows: Rows) -> Rows | None:
    """Return the rows with those together that begin alike, if that is asked for, or pays; else say why not."""
    data, settings = config.data, config.training
    if data.share_prefixes is False or rows.train is None:
        return None
    if (why := _why_not_shared(config, rows)) is not None:
        if data.share_prefixes is True:
            setup.say(f"Shared prefixes: not in this run ({why}).")
        return None
    starts, together = beginnings(rows.train), settings.gradient_accumulation_steps * setup.ranks.world
    items: Any = rows.train
    if data.packing:
        packs = pack_alike(rows.train.lengths, _budget(config, rows), starts, settings.seed)
        items, starts = PackedRows(rows.train, packs), starts[packs.indexes[packs.starts[:-1]]]
    size = f"{settings.batch_size} {'packs' if data.packing else 'rows'}"
    if settings.batch_tokens is None:
        order = EpochOrder(items.lengths, settings.batch_size, settings.seed, step_batches=together, beginnings=starts)
    else:
        order = TokenOrder(items.lengths, settings.batch_tokens, settings.seed, starts)
        size = f"at most {settings.batch_tokens:,} tokens, shared ones and padding counted for each row,"
    batches = order.batches()
    looked = batches[:: max(1, len(batches) // _LOOKED_AT)]
    saved = saved_share([[items[number] for number in batch] for batch in looked])
    found = f"Shared prefixes: {saved:.1%} of the tokens could be computed once for several rows"
    dropout = _dropout(config, loaded)
    if data.share_prefixes == "auto" and saved < WORTH:
        if saved >= 0.01:
            setup.say(f"{found}; that is left, as it begins to pay at {WORTH:.0%}.")
        return None
    if data.share_prefixes == "auto" and dropout:
        setup.say(f"{found}; that is left, as with dropout they would share what is drawn (data.share_prefixes=true).")
        return None
    if (why := why_no_tree(loaded.model, data.max_length)) is not None:
        setup.say(f"{found}; not with this model ({why}).")
        return None
    setup.say(
        f"Shared prefixes: rows that begin alike meet; in batches of {size} {saved:.1%} of the tokens are not computed "
        "again." + (" Rows draw one dropout for the tokens that they share." if dropout else "")
    )
    return replace(rows, items=items, order=order, shared=True)


def _why_not_shared(config: TrainConfig, rows: Rows) -> str | None:
    """Return why a run cannot compute shared tokens once, whatever its rows and its model are."""
    if rows.work.options.answers == "judged":
        return f"{config.objective.method} computes the second answer of each row without gradients"
    if config.distributed is not None and config.distributed.engine != "ddp":
        return f"distributed.engine={config.distributed.engine} is not tried with it"
    return None


def _dropout(config: TrainConfig, loaded: Loaded) -> bool:
    """Tell whether anything draws at random in training."""
    facts = loaded.model.config.get_text_config().to_dict()
    named = [value for name, value in facts.items() if "drop" in name and isinstance(value, float)]
    return any(value > 0 for value in (*named, getattr(config.tuning, "dropout", 0.0)))


def padding_share(order: EpochOrder) -> float:
    """Return how much of the first epoch's batches is padding: 0 to 1."""
    batches = order.batches()
    rows = np.array([len(batch) for batch in batches])
    lengths = order.lengths[np.concatenate(batches)]
    widest = np.maximum.reduceat(lengths, np.cumsum(rows) - rows)
    return 1.0 - float(lengths.sum()) / float((widest * rows).sum())


def say_report(say: Callable[[str], None], name: str, report: DataReport, answers: Answers = "good") -> None:
    """Say what became of the records of some files: nothing is dropped or cut without a word."""
    rows = sum(file.kept - file.unlearned for file in report.files)
    what = "learned from" if answers == "good" else "answers to compare"
    say(f"{name} data: {rows:,} records, {report.tokens:,} tokens, {report.label_tokens:,} of them {what}.")
    for file in report.files:
        if file.format == "preference" and answers == "good":
            say(f"  {file.path}: only good answers are learned; objective dpo, orpo or kto learns from bad ones too.")
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
    fingerprint = Preparation(work).key(paths) + (validation.fingerprint if validation is not None else "")
    digest = hashlib.sha256(fingerprint.encode()).hexdigest()
    rows = StreamRows(paths, work, options)
    return Rows(None, validation, work, digest, rows, loader=_loader(work))


def _loader(work: Work) -> PictureLoader | None:
    """Return what opens pictures, for a model that sees."""
    slicing = getattr(work.chat, "slicing", None)
    return PictureLoader(slicing) if slicing is not None else None
