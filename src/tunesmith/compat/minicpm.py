"""MiniCPM: a loaded MiniCPM with the `chat` of the published modeling_minicpm.py.

What differs: earlier answers keep the tokens that they are learned and given with, where the published code cuts the
whole text anew; the history that is handed in is not changed; settings that cannot be followed are refused; an answer
that is cut at its greatest length keeps its last token, which the published code takes for a stop token.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..data.types import Conversation, Message
from ..errors import ConfigError, ModelError, UserError
from ..generate.sampling import Sampling
from .published import Published

if TYPE_CHECKING:
    from ..models.load import Loaded

DEFAULTS: dict[str, Any] = {
    "max_length": 4096,
    "num_beams": 1,
    "do_sample": True,
    "top_p": 0.8,
    "temperature": 0.3,
    "top_k": 50,
    "repetition_penalty": 1.0,
    "max_new_tokens": None,
    "seed": None,
    "logits_processor": None,
}
"""What `chat` can be told besides the question: the published defaults, and those of transformers."""
ROLES = ("system", "user", "assistant")


class MiniCPM(Published):
    """A loaded MiniCPM that answers as the published class does; all else is asked of the model itself."""

    def __init__(self, loaded: Loaded) -> None:
        """Wrap what `tunesmith.load` has returned.

        Raises:
            ModelError: a model that sees, whose `chat` takes other arguments.
        """
        super().__init__(loaded)
        if self._voice.sees:
            raise ModelError("This model is shown pictures too: use AutoModel (MiniCPMV) of tunesmith.compat.")

    def chat(
        self,
        tokenizer: Any,
        query: str,
        history: Sequence[Mapping[str, str]] | None = None,
        role: str = "user",
        **settings: Any,
    ) -> tuple[str, list[dict[str, str]]]:
        """Return the answer, and the history with question and answer.

        `tokenizer` is accepted as in the published code; that of the model's folder is used. `history`: messages,
        `[{"role": "user", "content": "..."}, ...]`. `settings`: see DEFAULTS; `max_length` counts the prompt too.

        Raises:
            UserError: messages or settings that cannot be used, or a prompt that leaves no room for an answer.
        """
        turns = [*_messages(history or []), *_messages([{"role": role, "content": query}])]
        if unknown := sorted(set(settings) - set(DEFAULTS)):
            raise ConfigError(f"chat: '{unknown[0]}' is not known. Known: {', '.join(DEFAULTS)}.")
        chosen = {**DEFAULTS, **settings}
        if chosen["logits_processor"]:
            raise ConfigError("chat: logits_processor is not supported; call `generate` for that.")
        conversation = Conversation(tuple(Message(turn["role"], turn["content"]) for turn in turns))
        sampling = _sampling(chosen)
        prompt = self._voice.prompt(conversation, sampling)
        if chosen["max_new_tokens"] is None:
            prompt = replace(prompt, room=self._room(len(prompt.ids), chosen["max_length"]))
        writer = self._voice.writer()
        self._voice.answer([prompt], [writer], sampling)
        return writer.text, [*turns, {"role": "assistant", "content": writer.text}]

    def _room(self, length: int, most: int) -> int:
        """Return how many tokens an answer may have behind a prompt of this length."""
        if length >= most:
            raise UserError(
                f"The prompt has {length} tokens, and max_length is {most}, the answer included. Give a larger one, or a "
                "shorter history."
            )
        return min(most, self._voice.context or most) - length


def _messages(history: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    form = '[{"role": "user", "content": "a question"}, ...]'
    if isinstance(history, (str, Mapping)) or not isinstance(history, Sequence):
        raise UserError(f"history must be a list of messages, {form}.")
    for message in history:
        if not isinstance(message, Mapping) or message.get("role") not in ROLES:
            raise UserError(f"A message of the history is not from one of {', '.join(ROLES)}. Messages are {form}.")
        if not isinstance(message.get("content"), str):
            raise UserError(f"A message of the history has no text as its 'content'. Messages are {form}.")
    return [dict(message) for message in history]


def _sampling(chosen: Mapping[str, Any]) -> Sampling:
    return Sampling(
        temperature=chosen["temperature"],
        top_p=chosen["top_p"],
        top_k=chosen["top_k"],
        repetition_penalty=chosen["repetition_penalty"],
        max_new_tokens=chosen["max_new_tokens"],
        seed=chosen["seed"],
        greedy=not chosen["do_sample"],
        beams=chosen["num_beams"],
    )
