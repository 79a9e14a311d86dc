"""Many conversations answered at once, with the prompts and stop rules of a single chat."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from typing import TYPE_CHECKING

from ..data.types import Conversation
from .decode import Prompt, Voice
from .sampling import Sampling
from .writer import Writer

if TYPE_CHECKING:
    from ..models.load import Loaded


def answer_all(
    loaded: Loaded,
    conversations: Sequence[Conversation],
    sampling: Sampling | None = None,
    batch_size: int = 16,
    done: Callable[[int], None] | None = None,
) -> list[str]:
    """Return the answer to each conversation, in their order (greedy unless told otherwise).

    `done` is told how many have been answered after every batch; see `answers`.

    Raises:
        UserError: a conversation that does not fit into the model's context, or pictures for a model without eyes.
    """
    sampling = sampling or Sampling(greedy=True)
    voice = Voice(loaded)
    prompts = [voice.prompt(conversation, sampling) for conversation in conversations]
    texts, answered = [""] * len(prompts), 0
    for batch in answers(voice, prompts, sampling, batch_size):
        for number, writer in batch:
            texts[number] = writer.text
        answered += len(batch)
        if done:
            done(answered)
    return texts


def answers(
    voice: Voice, prompts: Sequence[Prompt], sampling: Sampling, batch_size: int, known: Container[int] = ()
) -> Iterator[list[tuple[int, Writer]]]:
    """Yield the answers batch by batch, each with the number of its prompt; the writer knows text, length and end.

    Prompts of similar length go through the model together, padded at the left; pictures are opened batch by batch. A
    batch whose numbers are all `known` is left out; which batches there are does not depend on that.
    """
    penalty = voice.penalises_prompt and sampling.repetition_penalty not in (None, 1)
    for batch in _batches(prompts, batch_size, same_length=penalty):
        if all(number in known for number in batch):
            continue
        writers = [voice.writer() for _ in batch]
        voice.answer([prompts[number] for number in batch], writers, sampling)
        yield list(zip(batch, writers, strict=True))


def _batches(prompts: Sequence[Prompt], size: int, same_length: bool) -> list[list[int]]:
    """Return the prompts' numbers, longest first (too little memory shows at once), in batches of at most `size`.

    `same_length`: no padding, since a repetition penalty would count it among the tokens that were said.
    """
    batches: list[list[int]] = []
    for number in sorted(range(len(prompts)), key=lambda i: -len(prompts[i].ids)):
        last = batches[-1] if batches else []
        if last and len(last) < size and not (same_length and len(prompts[last[0]].ids) != len(prompts[number].ids)):
            last.append(number)
        else:
            batches.append([number])
    return batches
