"""MiniCPMV: a loaded MiniCPM-V 2.0 with the `chat` of the published code, and what its examples load it with.

Source: `MiniCPMV.chat` in the published modeling_minicpmv.py of MiniCPM-V-2. What differs: a prompt is never cut
silently; several pictures may be given; settings that the published code would leave out without a word are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..data.types import Conversation, ImageRef, Message
from ..errors import ConfigError, ModelError, UserError
from ..generate.pictures import attach, marks
from ..generate.sampling import Sampling
from .published import Published

if TYPE_CHECKING:
    from ..models.load import Loaded

SAMPLED: dict[str, Any] = {
    "top_p": 0.8,
    "top_k": 100,
    "temperature": 0.7,
    "do_sample": True,
    "repetition_penalty": 1.05,
}
SEARCHED: dict[str, Any] = {"num_beams": 3, "repetition_penalty": 1.2}
"""The published settings of `chat`, with `sampling` and without; the penalty counts the answer's own tokens."""


class MiniCPMV(Published):
    """A loaded MiniCPM-V 2.0 that answers as the published class does; all else is asked of the model itself."""

    def __init__(self, loaded: Loaded) -> None:
        """Wrap what `tunesmith.load` has returned.

        Raises:
            ModelError: a model that cannot be shown pictures.
        """
        super().__init__(loaded)
        if not self._voice.sees:
            raise ModelError(
                f"This is a model of type '{self.model.config.model_type}', which reads text only; this class is that "
                "of MiniCPM-V. Talk to it through tunesmith.Session."
            )

    def chat(
        self,
        image: Any,
        msgs: Sequence[Mapping[str, str]] | str,
        context: Any = None,
        tokenizer: Any = None,
        *,
        sampling: bool = True,
        **settings: Any,
    ) -> tuple[str, list[dict[str, str]], dict[str, Any]]:
        """Return the answer, the messages with it, and the settings of generation.

        `image`: a PIL image, or what else `tunesmith.Session` takes; a list of several; None. They belong to the first
        message. `msgs`: the whole conversation, `[{"role": "user", "content": "..."}, ...]`, or its JSON text.
        `context` and `tokenizer` are accepted as in the published code; the conversation is `msgs`, and the tokenizer
        that of the model's folder. `settings`: `max_new_tokens` (1024, or what fits); `max_inp_length`: a longer
        prompt is refused (published: 2048, cut off); those of SAMPLED, or of SEARCHED where `sampling` is false; and
        `seed`.

        Raises:
            UserError: messages, pictures or settings that cannot be used.
        """
        turns = read_messages(msgs)
        conversation = _conversation(turns, [] if image is None else image if isinstance(image, list) else [image])
        limit = settings.pop("max_inp_length", None)
        chosen, wanted = _chosen(sampling, settings)
        prompt = self._voice.prompt(conversation, wanted)
        if limit is not None and len(prompt.ids) > limit:
            raise UserError(
                f"The prompt has {len(prompt.ids)} tokens, and max_inp_length is {limit}. Nothing is cut off: give a "
                "larger one, or leave it out."
            )
        writer = self._voice.writer()
        self._voice.answer([prompt], [writer], wanted)
        answer = writer.text.strip()
        return answer, [*turns, {"role": "assistant", "content": answer}], chosen


def read_messages(msgs: Any) -> list[dict[str, str]]:
    """Return the messages of a conversation, given as a list or as JSON, after a look at them.

    Raises:
        UserError: they are no list of `{"role": ..., "content": ...}` that begins and ends with a question.
    """
    if isinstance(msgs, str):
        try:
            msgs = json.loads(msgs)
        except ValueError as error:
            raise UserError(f"The messages are not valid JSON: {error}.") from None
    form = '[{"role": "user", "content": "a question"}, ...]'
    if not isinstance(msgs, (list, tuple)) or not msgs:
        raise UserError(f"The messages must be a list that is not empty: {form}.")
    for number, message in enumerate(msgs):
        if not isinstance(message, Mapping) or message.get("role") not in ("user", "assistant"):
            raise UserError(f"Message {number} is not from 'user' or 'assistant'. Messages are {form}.")
        if not isinstance(message.get("content"), str):
            raise UserError(f"Message {number} has no text as its 'content'. Messages are {form}.")
    for number in (0, -1):
        if msgs[number]["role"] != "user":
            raise UserError(f"The {'first' if number == 0 else 'last'} message must be the user's.")
    return [dict(message) for message in msgs]


def _conversation(turns: list[dict[str, str]], pictures: Sequence[Any]) -> Conversation:
    """Return messages with their pictures in front of the first one, each on a line of its own."""
    free = marks(turn["content"] for turn in turns)
    images = tuple(ImageRef(next(free), attach(picture).path) for picture in pictures)
    first, *others = (Message(turn["role"], turn["content"]) for turn in turns)
    question = "\n".join([*(image.mark for image in images), first.content])
    return Conversation((Message("user", question), *others), images=images)


def _chosen(sampling: bool, settings: dict[str, Any]) -> tuple[dict[str, Any], Sampling]:
    """Return the published settings with the user's in place of them, and what they mean here.

    As in the published code, a setting of the other way of generating is left out.
    """
    chosen = dict(SAMPLED if sampling else SEARCHED)
    seed, room = settings.pop("seed", None), settings.pop("max_new_tokens", None)
    if settings.pop("vision_hidden_states", None) is not None:
        raise ConfigError("chat: vision_hidden_states is not read; give the picture itself.")
    if unknown := sorted(set(settings) - set(SAMPLED) - set(SEARCHED)):
        raise ConfigError(f"chat: '{unknown[0]}' is not known. Known: {', '.join({**SAMPLED, **SEARCHED})}.")
    chosen.update({name: value for name, value in settings.items() if name in chosen})
    drawn = chosen.get("do_sample", False)
    wanted = Sampling(
        temperature=chosen["temperature"] if drawn else None,
        top_p=chosen["top_p"] if drawn else None,
        top_k=chosen["top_k"] if drawn else None,
        repetition_penalty=chosen["repetition_penalty"],
        max_new_tokens=room,
        seed=seed,
        greedy=not drawn,
        beams=chosen.get("num_beams", 1),
    )
    return chosen, wanted
