"""Session: one conversation with a model. The prompt is what `data.chat.render` writes, and nothing else."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..data.types import Conversation, Message
from ..errors import UserError
from .decode import Prompt, Voice
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

    `system` is the text that stands first; a new one holds from the next `reset`. `last` is the newest Answer. A
    question that fails leaves the conversation as it was; of an answer that is interrupted, what was shown is kept.
    """

    def __init__(self, loaded: Loaded, *, system: str | None = None, sampling: Sampling | None = None) -> None:
        self.system = system
        self.sampling = sampling or Sampling()
        self.messages: list[Message] = []
        self.last: Answer | None = None
        self._voice = Voice(loaded)
        self.reset()

    def reset(self) -> None:
        """Begin anew: only the system text stays."""
        self.messages = [Message("system", self.system)] if self.system else []
        self.last = None

    def ask(self, text: str, images: Sequence[Any] = ()) -> str:
        """Return the answer to a question.

        Raises:
            UserError: images for a text model, an empty or unreadable question, or no room for it in the context.
        """
        return "".join(self.stream(text, images))

    def stream(self, text: str, images: Sequence[Any] = ()) -> Generator[str, None, None]:
        """Return the answer in pieces, as they come. Closing the iterator stops the model.

        Raises:
            UserError: as `ask`, before the first piece.
        """
        if images:
            raise UserError(
                f"This model ({self._voice.model.config.model_type}) reads text only, but {len(images)} "
                f"{'images were' if len(images) > 1 else 'image was'} given."
            )
        if not text.strip():
            raise UserError("The question is empty.")
        messages = [*self.messages, Message("user", text)]
        for message in messages:
            try:
                message.content.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"The {message.role} text is not readable text: its bytes are not UTF-8. Is the terminal set to "
                    "another encoding? LANG=C.UTF-8 mends it."
                ) from None
        return self._stream(messages, self._voice.prompt(Conversation(tuple(messages)), self.sampling))

    def _stream(self, messages: list[Message], prompt: Prompt) -> Generator[str, None, None]:
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
                    self.messages = [*messages, Message("assistant", shown)]
        if failure is not None:
            raise failure
