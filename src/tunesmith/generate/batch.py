"""Many conversations answered at once, with the prompts and stop rules of a single chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..data.types import Conversation
from .decode import Prompt, Voice
from .sampling import Sampling

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

    Conversations of similar length go through the model together, padded at the left; pictures are opened batch by
    batch. `done` is told how many have been answered after every batch.

    Raises:
        UserError: a conversation that does not fit into the model's context, or pictures for a model without eyes.
    """
    sampling = sampling or Sampling(greedy=True)
    voice = Voice(loaded)
    prompts = [voice.prompt(conversation, sampling) for conversation in conversations]
    writers = [voice.writer() for _ in prompts]
    answered = 0
    penalty = voice.penalises_prompt and sampling.repetition_penalty not in (None, 1)
    for batch in _batches(prompts, batch_size, same_length=penalty):
        voice.answer([prompts[i] for i in batch], [writers[i] for i in batch], sampling)
        answered += len(batch)
        if done:
            done(answered)
    return [writer.text for writer in writers]


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
