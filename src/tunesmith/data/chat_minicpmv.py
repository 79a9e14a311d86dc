"""The chat layout of MiniCPM-V 2.0: markers as in MiniCPM, with a picture's placeholder in the question.

Source: `chat` in the published modeling_minicpmv.py, and finetune/dataset.py of OpenBMB/MiniCPM-V as of 2024-06-07. The
two do not give the same ids:

- Chat puts `<s>` in front and tokenises the whole prompt as one text.
- The fine-tuning script has no `<s>`, and tokenises each marker and each content as a text of its own. A question that
  ends with `)` then ends with the token `)`, where chat has one token for `)` and the `<` of the next marker.

`MiniCPMVChat()` is the first, so that a model is trained on the prompts that it will get; `published_script()` is the
second, for both training and chat. In the first, the text is still cut where an answer begins and ends: what is learned
of an answer must not depend on what follows it. The published chat does not cut there; its ids for the history differ
where a marker's end or beginning makes one token with an answer.

What people write is text: `<image>`, `<unk>` or `</s>` in a message is no special token, but for the marks of places in
a picture (`GROUNDING`), which are part of the model's language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from ..errors import DataError, ModelError
from .chat import Encoding, Piece
from .slicing import PUBLISHED, Size, Slicing, placeholder
from .slots import size_of_file
from .tokenizer import TextTokenizer
from .types import Conversation, ImageRef

GROUNDING = tuple(f"<{slash}{name}>" for name in ("ref", "box", "quad", "point") for slash in ("", "/"))
"""Special tokens that may be written in texts: names, boxes, quadrangles and points in a picture."""


@dataclass(frozen=True)
class MiniCPMVChat:
    """MiniCPM-V 2.0's layout: `<用户>picture, newline, question<AI>answer`, nothing between, for user and assistant only.

    `slicing`: how pictures are cut. `size`: what tells the size of a picture, which decides about its placeholder.
    """

    slicing: Slicing = PUBLISHED
    user: str = "<用户>"
    assistant: str = "<AI>"
    name: str = "minicpmv"
    encoding: Encoding = "conversation"
    bos: bool = True
    size: Callable[[str], Size] = size_of_file
    sees: bool = True
    keep: tuple[str, ...] | None = GROUNDING

    @classmethod
    def published_script(cls, slicing: Slicing = PUBLISHED) -> MiniCPMVChat:
        """Return the layout of the published fine-tuning script."""
        return cls(slicing, name="minicpmv-script", encoding="message", bos=False)

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """The markers: a model that writes one has begun the next turn by itself."""
        return (self.user, self.assistant)

    def stop_ids(self, tokenizer: TextTokenizer) -> tuple[int, ...]:
        """Return the end token."""
        if tokenizer.eos_id is None:
            raise ModelError(f"{tokenizer.source}: tokenizer_config.json names no eos_token.")
        return (tokenizer.eos_id,)

    def pieces(self, conversation: Conversation, open_turn: bool) -> list[Piece]:
        """Return the conversation in pieces, each picture one of its own.

        Where the whole text is tokenised at once, everything between two answers or pictures is one piece.

        Raises:
            DataError: a system message, tools, or a picture whose mark stands not just once in the questions.
            PictureError: a picture whose size cannot be read.
        """
        if conversation.tools:
            raise DataError("it describes tools, and this model's chat layout has no place for them.")
        questions = "".join(message.content for message in conversation.messages if message.role == "user")
        for image in conversation.images:
            if (count := questions.count(image.mark)) != 1:
                raise DataError(
                    f"the mark '{image.mark}' of a picture stands {count} times in the questions, not once."
                )
        pieces: list[Piece] = []
        for number, message in enumerate(conversation.messages):
            if message.role == "assistant":
                pieces.append(Piece(self.assistant))
                content = "\n".join(filter(None, (message.content, message.calls)))
                pieces.append(Piece(content, answer=True, learned=message.train, ends=True))
            elif message.role == "user":
                pieces += [Piece(self.user), *self._parts(message.content, conversation.images)]
            else:
                raise DataError(
                    f"messages[{number}] is from '{message.role}', and this model's chat layout knows user and "
                    "assistant only; put its text into the first question."
                )
        if open_turn:
            pieces.append(Piece(self.assistant))
        return pieces if self.encoding == "message" else list(_joined(pieces))

    def _parts(self, content: str, images: Sequence[ImageRef]) -> Iterator[Piece]:
        """Cut a question at the marks of pictures; each becomes its placeholder."""
        numbers = {image.mark: number for number, image in enumerate(images)}
        pattern = "|".join(re.escape(mark) for mark in sorted(numbers, key=len, reverse=True))
        for text in re.split(f"({pattern})", content) if numbers else [content]:
            if (number := numbers.get(text)) is not None:
                plan = self.slicing.plan(*self.size(images[number].path))
                yield Piece(placeholder(plan), picture=number)
            elif text:
                yield Piece(text)


def _joined(pieces: Sequence[Piece]) -> Iterator[Piece]:
    """Join neighbours that are neither answers nor pictures."""
    for apart, group in groupby(pieces, key=lambda piece: piece.answer or piece.picture is not None):
        if apart:
            yield from group
        else:
            yield Piece("".join(piece.text for piece in group))
