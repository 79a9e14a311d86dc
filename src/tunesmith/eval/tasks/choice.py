"""Choice by likelihood: which of some answers the model finds likeliest, where nothing is written freely."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...data.chat import RenderOptions, render
from ...data.types import Example, Message
from ...errors import RecordError
from ...models.load import Loaded
from ..desk import Desk, Outcome, Result
from ..likelihood import Likelihood
from ..measure import Measure, mean_of
from ..source import Question, Source


@dataclass(frozen=True)
class Config:
    """`batch_size`: how many answers go through the model at once."""

    batch_size: int = 32


def run(loaded: Loaded, source: Source, config: Config, desk: Desk) -> Outcome:
    """Take the likeliest choice of every record: by its whole log-probability, and by that of a token.

    A choice is rendered as the answer that training would learn, with its end: the log-probability is that of
    answering exactly this. What the rows of a record share is computed once.

    Raises:
        DataError: a record without choices, or whose answer is none of them.
    """
    model = Likelihood(loaded)
    questions, groups = _rows(model, source)
    alike = source.fingerprint(questions)
    with desk.journal(alike, model.chat.name, model.tokenizer.fingerprint) as journal:
        desk.progress(len(journal.known), len(groups))
        for numbers in _batches(groups, config.batch_size):
            if all(number in journal.known for number in numbers):
                continue
            found = model.groups([groups[number] for number in numbers])
            journal.add(
                {
                    number: {"logps": [float(one.sum()) for one in group], "tokens": [len(one) for one in group]}
                    for number, group in zip(numbers, found, strict=True)
                }
            )
            desk.progress(len(journal.known), len(groups))
        results = [_chosen(question, journal.known[number]) for number, question in enumerate(questions)]
    rows = [{**question.as_json(), "choices": list(question.choices)} for question in questions]
    right = {
        name: [result[name] == question.expected.content for question, result in zip(questions, results, strict=True)]
        for name in ("chosen", "chosen_per_token")
    }
    abouts = {
        "accuracy": ("chosen", "the likeliest choice is the right one"),
        "accuracy_per_token": ("chosen_per_token", "the same by the mean log-probability of a token"),
    }
    measures = [
        Measure(name, mean_of(right[key]), yes_no=True, percent=True, about=about)
        for name, (key, about) in abouts.items()
    ]
    return Outcome(rows, results, measures, alike)


def _rows(model: Likelihood, source: Source) -> tuple[list[Question], list[list[Example]]]:
    """Return the questions that the model's template can write, each with a row for every choice."""
    kept: list[Question] = []
    groups: list[list[Example]] = []
    bad: list[RecordError] = []
    options = RenderOptions(loss_on="last_answer")
    for question in source.multiple_choice:
        asked = question.conversation
        answered = [
            replace(asked, messages=(*asked.messages, Message("assistant", choice))) for choice in question.choices
        ]
        try:
            groups.append([render(one, model.chat, model.tokenizer, options) for one in answered])
            kept.append(question)
        except RecordError as error:
            bad.append(error)
    source.refuse(bad)
    return kept, groups


def _batches(groups: list[list[Example]], size: int) -> Iterator[list[int]]:
    """Yield numbers of groups of similar length, longest first, with at most `size` rows in all, at least one group."""
    batch: list[int] = []
    rows = 0
    for number in sorted(range(len(groups)), key=lambda i: -len(groups[i][0].input_ids)):
        if batch and rows + len(groups[number]) > size:
            yield batch
            batch, rows = [], 0
        batch.append(number)
        rows += len(groups[number])
    if batch:
        yield batch


def _chosen(question: Question, found: Result) -> Result:
    """Return a result with the choice that is likeliest as a whole, and by token; of equal ones the first."""
    means = [logp / count for logp, count in zip(found["logps"], found["tokens"], strict=True)]
    whole, mean = (scores.index(max(scores)) for scores in (found["logps"], means))
    return {**found, "chosen": question.choices[whole], "chosen_per_token": question.choices[mean]}
