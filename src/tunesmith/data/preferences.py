"""Preference data -> rows that hold two answers to one prompt.

Such a row is an Example whose ids are two whole rows, prompt and answer each, one behind the other; `second` is where
the other one begins. So a pair is one row to whatever stores, shuffles, splits, weighs or packs rows, and its answers
meet in one batch. Of judged answers (KTO) the second is another record's answer to the same prompt: what it gains is
the baseline that all answers are measured against.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import RecordError
from .chat import ChatFormat, RenderOptions, render, render_rows
from .tokenizer import TextTokenizer
from .types import IGNORE, Conversation, Example, Picture


def rows_of(
    conversation: Conversation, chat: ChatFormat, tokenizer: TextTokenizer, options: RenderOptions
) -> list[Example]:
    """Return a record's rows as `options.answers` asks for: to be imitated, pairs, or judged answers.

    Only the last answer counts in the last two cases. Judged answers still lack what `with_others` adds.

    Raises:
        RecordError: as `render`; the record does not hold such answers, or `max_length` leaves no difference of a pair.
    """
    if options.answers == "good":
        return render_rows(conversation, chat, tokenizer, options)
    origin, liked = conversation.origin or "conversation", conversation.liked
    options = replace(options, loss_on="last_answer")
    plain = replace(conversation, rejected=None, liked=None)

    def rendered(answered: Conversation) -> Example:
        return render(answered, chat, tokenizer, options)

    if conversation.rejected is None:
        if options.answers == "judged" and liked is not None:
            return [replace(rendered(plain), liked=liked)]
        if options.answers == "judged":
            mend = "Give 'label': true or false, or 'chosen' and 'rejected'; or train with objective: sft."
            raise RecordError(origin, "label", "it is missing: is the answer a good one?", mend)
        judged = "" if liked is None else ", and judges one answer instead"
        mend = f"Give 'chosen' and 'rejected', or train with objective: {'sft' if liked is None else 'kto'}."
        raise RecordError(origin, "rejected", f"the record does not compare two answers{judged}.", mend)
    good = rendered(plain)
    bad = rendered(replace(plain, messages=(*plain.messages[:-1], conversation.rejected)))
    if (good.input_ids, good.labels) == (bad.input_ids, bad.labels):
        where = f"within max_length {options.max_length} " if good.cut or bad.cut else ""
        mend = "Raise max_length." if where else "Give the worse answer, or remove the record."
        raise RecordError(origin, "rejected", f"it has {where}the same tokens as 'chosen': nothing to prefer.", mend)
    return [pair(good, bad)] if options.answers == "pairs" else [good, replace(bad, liked=False)]


def pair(first: Example, second: Example) -> Example:
    """Return two rows as one example; what it says of its origin is the first one's."""
    start = len(first.input_ids)
    moved = [Picture(p.path, tuple((a + start, b + start) for a, b in p.slots)) for p in second.pictures]
    return replace(
        first,
        input_ids=first.input_ids + second.input_ids,
        labels=first.labels + second.labels,
        stops=first.stops + [position + start for position in second.stops],
        cut=first.cut + second.cut,
        cut_labels=first.cut_labels + second.cut_labels,
        pictures=(*first.pictures, *moved),
        second=start,
    )


def halves(example: Example) -> tuple[Example, ...]:
    """Return the two rows of a pair, or a plain example as it is."""
    start = example.second
    if not start:
        return (example,)
    own = tuple(p for p in example.pictures if p.slots[0][0] < start)
    others = example.pictures[len(own) :]
    moved = tuple(Picture(p.path, tuple((a - start, b - start) for a, b in p.slots)) for p in others)
    first = Example(example.input_ids[:start], example.labels[:start], example.origin, weight=example.weight)
    second = Example(example.input_ids[start:], example.labels[start:], example.origin, weight=example.weight)
    return replace(first, pictures=own), replace(second, pictures=moved)


def with_others(rows: list[list[Example]], max_length: int | None) -> list[list[Example]]:
    """Return judged answers, each with another record's answer to its prompt beside it.

    It is that of the nearest row before it (the last ones stand before the first) with another prompt, cut at
    `max_length`. The answers of one record, or of one prompt, are no strangers to each other; only where there is no
    other prompt they are taken all the same.
    """
    flat = [example for made in rows for example in made]
    begins = [_begin(example) for example in flat]
    prompts = [tuple(example.input_ids[:begin]) for example, begin in zip(flat, begins, strict=True)]
    one_prompt = len(set(prompts)) < 2
    found = []
    for number, (example, begin) in enumerate(zip(flat, begins, strict=True)):
        other = number - 1
        while not one_prompt and prompts[other] == prompts[number]:
            other -= 1  # counts from the end where it is negative; never a whole round, as there is another prompt
        foreign = flat[other]
        ids = example.input_ids[:begin] + foreign.input_ids[begins[other] :]
        labels = [IGNORE] * begin + foreign.labels[begins[other] :]
        found.append(pair(example, Example(ids[:max_length], labels[:max_length], pictures=example.pictures)))
    made = iter(found)
    return [[next(made) for _ in each] for each in rows]


def _begin(example: Example) -> int:
    """Return where the answer begins: its first label."""
    return next(place for place, label in enumerate(example.labels) if label != IGNORE)
