"""The nano model's training text, all of it generated here: tasks, conversations, held-out samples."""

from __future__ import annotations

from random import Random

from . import facts, identity, judge, memory, numbers, shop, stories, strings, talk
from .turns import Sample, Task, Turn

_PARTS = (talk, identity, numbers, facts, strings, judge, shop, stories, memory)
TASKS: dict[str, tuple[float, Task]] = {name: task for part in _PARTS for name, task in part.TASKS.items()}
"""name -> (share, draw)."""
SLOW = {
    *("persona", "remember", "repeat", "reverse", "pick", "spell", "count", "calendar", "translate", "kind", "code"),
    *("add", "subtract", "multiply", "compare", "sequence", "story sum"),
}
"""The tasks that take longest to learn: copying, sums, and facts of which there are many."""
LONG_TURNS = 24
"""Questions in a row of a long conversation, about 500 tokens."""


def draw(rng: Random, task: str | None = None, held_out: bool = False, slow: float = 1.0) -> Sample:
    """Draw a sample of a task (None: by the tasks' shares), one that is trained on or one that is held out.

    `slow` multiplies the shares of the tasks in SLOW.

    Closed sets (small talk, the multiplication table) hold nothing out: there the trained samples are returned.
    """
    shares = [share * slow if name in SLOW else share for name, (share, _) in TASKS.items()]
    for _ in range(400):
        sample = TASKS[task or rng.choices(list(TASKS), shares)[0]][1](rng)
        if sample.held_out == held_out:
            return sample
    return sample


def conversation(rng: Random, slow: float = 1.0) -> list[Turn]:
    """Draw a conversation for training: mostly one question, sometimes two to four, now and then something told."""
    sample = draw(rng, slow=slow)
    if rng.random() > 0.15 or sample.task == "persona":
        return sample.messages
    middle = [turn for _ in range(rng.randint(0, 2)) for turn in _plain(rng, slow).messages]
    if rng.random() < 0.4:
        told = memory.remember(rng, middle)
        return _plain(rng, slow).messages if told.held_out else told.messages
    return [*sample.messages, *middle, *_plain(rng, slow).messages]


def long_conversation(rng: Random, slow: float = 1.0) -> list[Turn]:
    """Draw a conversation of many turns, so that far positions are trained too."""
    return [turn for _ in range(LONG_TURNS) for turn in _plain(rng, slow).messages]


def _plain(rng: Random, slow: float) -> Sample:
    while (sample := draw(rng, slow=slow)).task == "persona":
        pass
    return sample
