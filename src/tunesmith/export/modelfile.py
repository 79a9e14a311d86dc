"""A chat template in Ollama's words: what stands before and after the texts of each role, found by rendering.

Ollama knows no Jinja. A template that writes each message between two fixed texts can be said in its language; the
result is compared with the template on several conversations, and another template is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..data.template import Template
from ..data.tokenizer import TextTokenizer
from ..data.types import Message
from ..errors import ConfigError, DataError

_MARK = "\ue000"  # private use: no template has it
_TALK = tuple(Message(role, f"{_MARK}{role}{_MARK}") for role in ("system", "user", "assistant", "user"))
_PROBES = (
    (Message("user", "a"),),
    (Message("system", "s"), Message("user", "a  b\n\nc")),
    (Message("user", "a"), Message("assistant", "b"), Message("user", "c")),
    (*_TALK, Message("assistant", "d"), Message("user", "e")),
)


@dataclass(frozen=True)
class Frames:
    """What stands around a text, by role: (before, after); and what opens the answer at the end."""

    around: dict[str, tuple[str, str]]
    opening: str

    def written(self, messages: Sequence[Message]) -> str:
        """Return a conversation as text, up to where the answer begins."""
        texts = (self.around[message.role][0] + message.content + self.around[message.role][1] for message in messages)
        return "".join(texts) + self.opening

    def template(self) -> str:
        """Return the template in Ollama's language (Go's text/template)."""
        roles = [
            f'{{{{ if eq .Role "{role}" }}}}{before}{{{{ .Content }}}}{after}{{{{ end }}}}'
            for role, (before, after) in self.around.items()
        ]
        return f"{{{{ range .Messages }}}}{''.join(roles)}{{{{ end }}}}{self.opening}"


def frames(tokenizer: TextTokenizer) -> Frames:
    """Return the frames of a tokenizer's chat template; a begin token that it writes is left to llama.cpp.

    Raises:
        ConfigError: there is no template, or it cannot be said in this way.
    """
    if tokenizer.chat_template is None:
        raise ConfigError("The run has no chat template, so there is nothing to say in a Modelfile. Export gguf.")
    template = Template(tokenizer.chat_template, tokenizer.special, tokenizer.source)
    begin = tokenizer.special.get("bos_token", "")

    def rendered(messages: Sequence[Message], opened: bool = True) -> str:
        return template.render(messages, opened).removeprefix(begin)

    found = None
    try:
        found = _found(rendered(_TALK, False), rendered(_TALK[1:2], False), rendered(_TALK))
        told = found is not None and all(found.written(probe) == rendered(probe) for probe in _PROBES)
    except DataError:  # the template refuses a system text, or turns in this order
        told = False
    if found is None or not told or any(sign in "".join(map("".join, found.around.values())) for sign in ('"""', "{{")):
        raise ConfigError(
            "The run's chat template cannot be said in Ollama's language: it does more than put fixed texts around each "
            "message. Export gguf, which holds the template itself, and write the Modelfile by hand."
        )
    return found


def _found(talk: str, question: str, opened: str) -> Frames | None:
    """Return the frames in a conversation of all roles, in a question alone, and in the conversation with an opening."""
    before_user, _, after_user = question.partition(_TALK[1].content)
    start, system, rest = talk.partition(_TALK[0].content)
    system_end, _, rest = rest.partition(_TALK[1].content)
    to_answer, _, rest = rest.partition(_TALK[2].content)
    answer_end, user, _ = rest.partition(_TALK[3].content)
    fits = system_end.endswith(before_user) and answer_end.endswith(before_user) and to_answer.startswith(after_user)
    if not (system and user and fits and opened.startswith(talk)):
        return None
    around = {
        "system": (start, system_end[: len(system_end) - len(before_user)]),
        "user": (before_user, after_user),
        "assistant": (to_answer[len(after_user) :], answer_end[: len(answer_end) - len(before_user)]),
    }
    return Frames(around, opened[len(talk) :])
