"""Answers: what the model writes to each question, with the template and the stop rules of chat, beside what it should."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from ...errors import RecordError, UserError
from ...generate.batch import answers
from ...generate.decode import Prompt, Voice
from ...generate.sampling import Sampling
from ...models.load import Loaded
from ..desk import Desk, Outcome
from ..metrics import Given, check, measures
from ..source import Question, Source


@dataclass(frozen=True)
class Config:
    """`sampling`: greedy unless told otherwise. `batch_size`: how many are answered at once. `metrics`: none for all.

    Raises:
        ConfigError: there is no such metric. MachineError: its library is missing.
    """

    sampling: Sampling = field(default_factory=lambda: Sampling(greedy=True))
    batch_size: int = 32
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(self.metrics)


def run(loaded: Loaded, source: Source, config: Config, desk: Desk) -> Outcome:
    """Answer every question, and measure the answers.

    Raises:
        DataError: a record without an answer, or one that does not fit into the model's context.
    """
    voice, questions = Voice(loaded), source.questions
    questions, prompts = _prompts(voice, questions, source, config.sampling)
    alike = source.fingerprint(questions)
    rules = [voice.chat.name, voice.tokenizer.fingerprint, voice.chat.stop_texts, voice.stop_ids]
    with desk.journal(alike, asdict(config.sampling), config.batch_size, rules) as journal:
        desk.progress(len(journal.known), len(prompts))
        for batch in answers(voice, prompts, config.sampling, config.batch_size, journal.known):
            journal.add({n: {"answer": w.text, "stopped": w.stopped or "length", "tokens": w.tokens} for n, w in batch})
            desk.progress(len(journal.known), len(prompts))
        results = [dict(journal.known[number]) for number in range(len(prompts))]
    given = [
        Given(q.expected, result["answer"], result["stopped"]) for q, result in zip(questions, results, strict=True)
    ]
    found, notes = measures(given, config.metrics)
    for measure in found:
        if measure.yes_no or measure.percent:
            for result, (value, counts) in zip(results, measure.parts.tolist(), strict=True):
                if counts:
                    result.setdefault("metrics", {})[measure.name] = value
    return Outcome([question.as_json() for question in questions], results, found, alike, notes)


def _prompts(
    voice: Voice, questions: list[Question], source: Source, sampling: Sampling
) -> tuple[list[Question], list[Prompt]]:
    """Return the questions that can be asked, with what the model is sent; the others are bad records."""
    kept: list[Question] = []
    prompts: list[Prompt] = []
    bad: list[RecordError] = []
    for question in questions:
        try:
            prompts.append(voice.prompt(question.conversation, sampling))
            kept.append(question)
        except RecordError as error:
            bad.append(error)
        except UserError as error:
            bad.append(RecordError(question.origin, "messages", str(error), "Shorten it, or leave it out."))
    source.refuse(bad)
    return kept, prompts
