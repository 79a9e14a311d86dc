"""Prompts in, answers out: the one call of transformers' generate, used by chat (one row) and batches (many)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    StoppingCriteria,
    StoppingCriteriaList,
)

from ..data.chat import ChatFormat, render
from ..data.collate import PictureLoader
from ..data.slicing import Slicing
from ..data.types import Conversation, Example
from ..errors import UserError
from ..models.load import Loaded, text_tokenizer
from .kernels import use_kernel
from .sampling import MAX_NEW_TOKENS, Sampling
from .writer import Writer


@dataclass(frozen=True)
class Prompt:
    """What the model is sent, and how many tokens it may answer with. Its pictures are opened when it is answered."""

    example: Example
    room: int

    @property
    def ids(self) -> list[int]:
        """The tokens that the model is sent."""
        return self.example.input_ids


class Voice:
    """A loaded model as something that answers: its chat format, its stop rules, its context."""

    def __init__(self, loaded: Loaded) -> None:
        self.model: Any = loaded.model
        self.tokenizer = text_tokenizer(loaded.tokenizer)
        config = self.model.config.to_dict()
        self.chat: ChatFormat = loaded.family.chat(self.tokenizer, config)
        self._pictures = PictureLoader(Slicing.of(config)) if self.chat.sees else None
        self.stop_ids = self.chat.stop_ids(self.tokenizer)
        self.context = context_of(self.model.config)
        if (said := use_kernel(self.model, self.model.device, self.model.dtype)) is not None:
            logging.getLogger("tunesmith").warning("%s", said)

    @property
    def sees(self) -> bool:
        """Whether the model can be shown pictures."""
        return self.chat.sees

    @property
    def penalises_prompt(self) -> bool:
        """Whether the repetition penalty counts the prompt too, as is usual for models that read text only."""
        return not self.chat.sees

    def prompt(self, conversation: Conversation, sampling: Sampling) -> Prompt:
        """Render a conversation up to where the answer begins.

        Raises:
            RecordError: the chat template refuses it.
            UserError: it does not fit into the model's context, or leaves less than the `max_new_tokens` asked for.
        """
        example = render(conversation, self.chat, self.tokenizer, open_turn=True)
        ids = example.input_ids
        wanted = sampling.max_new_tokens
        if self.context is None:
            return Prompt(example, wanted or MAX_NEW_TOKENS)
        room = self.context - len(ids)
        if room < (wanted or 1):
            asked = f" and max_new_tokens {wanted}" if wanted and room > 0 else ""
            less = f" (at most {room} new tokens fit)" if asked else ""
            raise UserError(
                f"The conversation has {len(ids)} tokens{asked}, but this model sees only {self.context} in all{less}. "
                "Nothing is dropped by itself: begin anew (/reset in the chat), or shorten what is sent."
            )
        return Prompt(example, min(wanted or MAX_NEW_TOKENS, room))

    def writer(self) -> Writer:
        """Return a new writer for one answer; special tokens that people may write are shown when the model does."""
        spoken = {number: text for number, text in self.tokenizer.added.items() if text in (self.chat.keep or ())}
        return Writer(self.tokenizer, self.stop_ids, self.chat.stop_texts, spoken)

    def answer(
        self,
        prompts: Sequence[Prompt],
        writers: Sequence[Writer],
        sampling: Sampling,
        shown: Callable[[str], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Let the model answer all prompts at once, padded at the left, into the writers.

        `shown` gets the text of the first row as it comes; `stop` is asked after every token.
        """
        length = max(len(prompt.ids) for prompt in prompts)
        follow = _Follow(writers, [prompt.room for prompt in prompts], shown or (lambda text: None), stop)
        settings = sampling.config(
            self.model, self.stop_ids, self.tokenizer.pad_id, max(prompt.room for prompt in prompts)
        )
        device = self.model.device
        seeded = sampling.seed is not None
        with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=seeded):
            if seeded:
                torch.manual_seed(sampling.seed)
            rows_BT = self.model.generate(
                **self._inputs(prompts, length),
                logits_processor=self._penalty(settings, length),
                generation_config=settings,
                stopping_criteria=StoppingCriteriaList([follow if sampling.beams == 1 else _Halt(stop)]),
            )
        if sampling.beams > 1:  # which of the beams is the answer is known at the end only
            for end in range(length, rows_BT.shape[1]):
                follow(rows_BT[:, : end + 1], None)
        follow.finish()

    def _inputs(self, prompts: Sequence[Prompt], length: int) -> dict[str, Any]:
        """Return the prompts as (B, length), padded at the left, with their pictures where there are any."""
        device, pad = self.model.device, self.tokenizer.pad_id
        gaps = [length - len(prompt.ids) for prompt in prompts]
        rows = [[pad] * gap + prompt.ids for gap, prompt in zip(gaps, prompts, strict=True)]
        mask = [[0] * gap + [1] * (length - gap) for gap in gaps]
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor(rows, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }
        if self._pictures is None:
            return inputs
        pixels: list[Tensor] = []
        bounds: list[tuple[int, int, int]] = []
        for row, (gap, prompt) in enumerate(zip(gaps, prompts, strict=True)):
            slices, slots = self._pictures.load(prompt.example)
            pixels += [one.to(device) for one in slices]
            bounds += [(row, gap + start, gap + end) for start, end in slots]
        return {**inputs, "pixel_values": pixels, "image_bound": torch.tensor(bounds)} if bounds else inputs

    def _penalty(self, settings: GenerationConfig, length: int) -> LogitsProcessorList:
        """Let the repetition penalty of a model that sees count what it says itself, and not the prompt.

        That is what the published code of MiniCPM-V does; the prompt is full of the slots of pictures.
        """
        found = LogitsProcessorList()
        if not self.penalises_prompt and settings.repetition_penalty != 1:
            penalty = float(settings.repetition_penalty)
            found.append(RepetitionPenaltyLogitsProcessor(penalty, prompt_ignore_length=length))
            settings.repetition_penalty = 1.0
        return found


class _Follow(StoppingCriteria):
    """Hands every new token to its row's writer, and ends the rows that are done."""

    def __init__(
        self,
        writers: Sequence[Writer],
        room: Sequence[int],
        shown: Callable[[str], None],
        stop: Callable[[], bool],
    ) -> None:
        self.writers, self.room, self.shown, self.stop = writers, room, shown, stop

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Return for each row (B,) whether it is done."""
        over = self.stop()
        for number, token in enumerate(input_ids[:, -1].tolist()):
            writer = self.writers[number]
            self._show(number, writer.push(token))
            if over or writer.tokens >= self.room[number]:
                self._show(number, writer.finish("interrupted" if over else "length"))
        return torch.tensor([writer.stopped is not None for writer in self.writers], device=input_ids.device)

    def finish(self) -> None:
        """Give out what is still held back."""
        for number, writer in enumerate(self.writers):
            self._show(number, writer.finish())

    def _show(self, number: int, text: str) -> None:
        if text and number == 0:
            self.shown(text)


class _Halt(StoppingCriteria):
    """Ends all rows when it is told to."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self.stop = stop

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        """Return for each row (B,) whether it is done."""
        return torch.full(input_ids.shape[:1], self.stop(), device=input_ids.device)


def context_of(config: Any) -> int | None:
    """Return how many positions a model sees, or None where it has no limit of its own."""
    text = config.get_text_config()
    length = getattr(text, "max_position_embeddings", None)
    rope = getattr(text, "rope_parameters", None) or {}
    if length and rope.get("rope_type") == "dynamic":  # stretches itself up to `factor` times that length
        return int(length * rope["factor"])
    return int(length) if length else None
