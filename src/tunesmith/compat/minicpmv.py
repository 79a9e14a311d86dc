"""MiniCPMV: a loaded MiniCPM-V 2.0 with the `chat` of the published code, and what its examples load it with.

Source: `MiniCPMV.chat` in the published modeling_minicpmv.py of MiniCPM-V-2. What differs: a prompt is never cut
silently; several pictures may be given; settings that the published code would leave out without a word are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.tokenizer import TextTokenizer
from ..data.types import Conversation, ImageRef, Message
from ..errors import ConfigError, ModelError, UserError
from ..generate.decode import Voice
from ..generate.pictures import attach, marks
from ..generate.sampling import Sampling
from ..locate import locate
from ..models.load import fast_tokenizer, load

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
WITHOUT_EFFECT = {
    "trust_remote_code",
    "low_cpu_mem_usage",
    "local_files_only",
    "use_safetensors",
    "use_fast",
    "attn_implementation",
    "revision",
}
"""What `from_pretrained` may be told although nothing depends on it here."""
_SAME_MODEL = {"to", "cuda", "cpu", "half", "float", "bfloat16", "eval", "train", "requires_grad_"}


class MiniCPMV:
    """A loaded MiniCPM-V 2.0 that answers as the published class does; all else is asked of the model itself.

    `model` is that model (with its adapter, if any), and `loaded` the whole of what was loaded.
    """

    def __init__(self, loaded: Loaded) -> None:
        """Wrap what `tunesmith.load` has returned.

        Raises:
            ModelError: a model that cannot be shown pictures.
        """
        self.loaded = loaded
        self.model: Any = loaded.model
        self._voice = Voice(loaded)
        if not self._voice.sees:
            raise ModelError(
                f"This is a model of type '{self.model.config.model_type}', which reads text only; this class is that "
                "of MiniCPM-V. Talk to it through tunesmith.Session."
            )

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        torch_dtype: Any = None,
        dtype: Any = None,
        device_map: Any = None,
        **others: Any,
    ) -> MiniCPMV:
        """Load a model folder, an adapter or a run, as `tunesmith.load` does: without remote code, in eval mode.

        `torch_dtype` or its newer name `dtype`: None and "auto" = as stored, or float32 where the device has no fast
        form of it. `device_map`: None and "auto" = the GPU if there is one. `trust_remote_code` is read and never
        obeyed.

        Raises:
            ModelError: as `tunesmith.load`, or a model that cannot be shown pictures.
            ConfigError: an argument that is not known here.
        """
        if unknown := sorted(set(others) - WITHOUT_EFFECT):
            raise ConfigError(f"from_pretrained does not know '{unknown[0]}'. Known: dtype, torch_dtype, device_map.")
        kind, device = dtype if dtype is not None else torch_dtype, device_map
        if isinstance(device, Mapping):
            if len(set(device.values())) != 1:
                raise ConfigError("device_map: the model is not split here. Name one device, for example 'cuda'.")
            device = next(iter(device.values()))
        device = f"cuda:{device}" if isinstance(device, int) else device
        return cls(
            load(name_or_path, dtype=None if kind == "auto" else kind, device=None if device == "auto" else device)
        )

    def __getattr__(self, name: str) -> Any:
        if name in ("model", "loaded", "_voice"):  # not there yet: a copy is being made
            raise AttributeError(name)
        found = getattr(self.model, name)
        if name not in _SAME_MODEL:
            return found

        @wraps(found)
        def call(*args: Any, **kwargs: Any) -> MiniCPMV:
            found(*args, **kwargs)
            return self

        return call

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


class AutoTokenizer:
    """Stands for transformers' class of this name in the published examples."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, **others: Any) -> Any:
        """Return the tokenizer of a folder as transformers' own class, with the ids that training and chat use.

        Raises:
            ModelError: there is no such folder, or no tokenizer in it. ConfigError: an argument that is not known here.
        """
        if unknown := sorted(set(others) - WITHOUT_EFFECT):
            raise ConfigError(f"from_pretrained does not know '{unknown[0]}': a tokenizer is read as it is stored.")
        return fast_tokenizer(TextTokenizer.load(locate(name_or_path)))


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
