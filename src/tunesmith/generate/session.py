"""Session: one conversation with a model. The prompt is what `data.chat.render` writes, and nothing else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..data.types import Conversation, ImageRef, Message
from ..errors import PictureError, RecordError, UserError
from .decode import Prompt, Voice
from .pictures import Attached, attach, marks
from .sampling import Sampling

if TYPE_CHECKING:
    from ..models.load import Loaded


@dataclass(frozen=True)
class Answer:
    """One answer. `tokens` counts what was generated, a stop token included; `seconds` from the question to the end.

    `stopped`: "stop" (the model ended it), "length" (it was cut at its greatest length) or "interrupted".
    """

    text: str
    tokens: int
    seconds: float
    stopped: str


class Session:
    """A conversation with a loaded model: `ask` and `stream` add a question and its answer to `messages`.

    Pictures are added to `images`; in the question a mark stands for each, on a line of its own before the text. They
    are seen again with every later question. A file is read anew each time, so it must stay where it is.

    `system` is the text that stands first; a new one holds from the next `reset`. `last` is the newest Answer. A
    question that fails leaves the conversation as it was; of an answer that is interrupted, what was shown is kept.
    """

    def __init__(self, loaded: Loaded, *, system: str | None = None, sampling: Sampling | None = None) -> None:
        self.system = system
        self.sampling = sampling or Sampling()
        self.messages: list[Message] = []
        self.images: list[ImageRef] = []
        self.last: Answer | None = None
        self._voice = Voice(loaded)
        self.reset()

    def reset(self) -> None:
        """Begin anew: only the system text stays."""
        self.messages = [Message("system", self.system)] if self.system else []
        self.images = []
        self.last = None

    def ask(self, text: str, images: Sequence[Any] = ()) -> str:
        """Return the answer to a question; `images` are shown with it: paths, `data:` addresses, bytes or PIL images.

        Raises:
            UserError: images for a text model, an empty or unreadable question, or no room for it in the context.
            PictureError: an image that cannot be used; that is a UserError too.
        """
        return "".join(self.stream(text, images))

    def stream(self, text: str, images: Sequence[Any] = ()) -> Generator[str, None, None]:
        """Return the answer in pieces, as they come. Closing the iterator stops the model.

        Raises:
            UserError: as `ask`, before the first piece.
        """
        if images:
            self._need_eyes(len(images))
        if not text.strip():
            raise UserError("The question is empty.")
        conversation = self._asked(text, [attach(image) for image in images])
        for message in conversation.messages:
            try:
                message.content.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"The {message.role} text is not readable text: its bytes are not UTF-8. Is the terminal set to "
                    "another encoding? LANG=C.UTF-8 mends it."
                ) from None
        return self._stream(conversation, self._prompt(conversation))

    def look(self, image: Any) -> Attached:
        """Return a picture that the model could be shown, opened and checked.

        Raises:
            UserError: the model reads text only. PictureError: it is no picture, or cannot be used.
        """
        self._need_eyes(1)
        return attach(image)

    def _need_eyes(self, images: int) -> None:
        if not self._voice.sees:
            raise UserError(
                f"This model ({self._voice.model.config.model_type}) reads text only, but {images} "
                f"{'images were' if images > 1 else 'image was'} given."
            )

    def _asked(self, text: str, pictures: Sequence[Attached]) -> Conversation:
        """Return the conversation with a new question; no mark of a picture stands anywhere else in it."""
        messages, images = list(self.messages), list(self.images)
        free = marks([text, *(message.content for message in messages)])
        for number, image in enumerate(images):
            if image.mark in text:  # what is typed may happen to look like a mark: the picture gets another one
                images[number] = ImageRef(next(free), image.path)
                old, new = image.mark, images[number].mark
                messages = [
                    replace(message, content=message.content.replace(old, new)) if message.role == "user" else message
                    for message in messages
                ]
        added = [ImageRef(next(free), picture.path) for picture in pictures]
        question = "\n".join([*(image.mark for image in added), text])
        return Conversation((*messages, Message("user", question)), images=(*images, *added))

    def _prompt(self, conversation: Conversation) -> Prompt:
        try:
            return self._voice.prompt(conversation, self.sampling)
        except RecordError as error:
            path = next((image.path for image in conversation.images if f"'{image.path}'" in error.reason), None)
            if path is None:
                raise
            reason = error.reason.partition(f"'{path}' ")[2]  # a picture of an earlier question is not there any more
            raise PictureError(path, reason, "Put the file back, or begin anew (/reset in the chat).") from None

    def _stream(self, conversation: Conversation, prompt: Prompt) -> Generator[str, None, None]:
        writer, start = self._voice.writer(), time.perf_counter()
        pieces: queue.SimpleQueue[str | BaseException | None] = queue.SimpleQueue()
        closed = threading.Event()

        def work() -> None:
            try:
                self._voice.answer([prompt], [writer], self.sampling, pieces.put, closed.is_set)
                pieces.put(None)
            except BaseException as error:  # noqa: BLE001 - raised again in the thread that reads
                pieces.put(error)

        thread = threading.Thread(target=work, name="tunesmith-answer", daemon=True)
        thread.start()
        shown, stopped, failure = "", "interrupted", None
        try:
            while isinstance(piece := pieces.get(), str):
                shown += piece
                yield piece
            failure, stopped = piece, writer.stopped or "length"
        finally:
            closed.set()
            thread.join()
            if failure is None:
                self.last = Answer(shown, writer.tokens, time.perf_counter() - start, stopped)
                if shown or stopped != "interrupted":
                    self.messages = [*conversation.messages, Message("assistant", shown)]
                    self.images = list(conversation.images)
        if failure is not None:
            raise failure
