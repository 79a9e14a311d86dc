"""The class and the function of the published chat.py of MiniCPM-V: pictures and questions as text.

Source: chat.py of OpenBMB/MiniCPM-V. What differs: a picture that cannot be read is an error that says why; there the
answer was "Image decode error".
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from .minicpmv import MiniCPMV


def img2base64(file_name: str | Path) -> bytes:
    """Return the content of a file as base64, in ASCII bytes.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return base64.b64encode(Path(file_name).read_bytes())
    except OSError as error:
        raise UserError(f"The picture '{file_name}' cannot be read: {error.strerror}.") from None


class MiniCPMVChat:
    """A MiniCPM-V 2.0 that is asked with `{"image": base64, "question": the messages as JSON}`.

    `model` is the model itself, with the published `chat` of its own.
    """

    def __init__(self, model_path: str | Path) -> None:
        """Load a model folder, an adapter or a run, onto the GPU if there is one.

        Raises:
            ModelError: as `tunesmith.load`, or a model that cannot be shown pictures.
        """
        self.model = MiniCPMV.from_pretrained(model_path)

    def chat(self, input: Mapping[str, Any]) -> str:
        """Return the answer, drawn with the published settings.

        `image`: base64 as text or bytes (`img2base64`), or a `data:` address. `question`: the whole conversation,
        `[{"role": "user", "content": "..."}, ...]`, as JSON text or as a list.

        Raises:
            UserError: a part is missing, or cannot be used.
        """
        for name in ("image", "question"):
            if not input.get(name):
                raise UserError(f"The input has no '{name}'; it needs an 'image' (base64) and a 'question' (JSON).")
        image = input["image"].decode("ascii", "replace") if isinstance(input["image"], bytes) else str(input["image"])
        answer, _, _ = self.model.chat(
            image if image[:5].lower() == "data:" else f"data:image;base64,{image}", input["question"]
        )
        return answer
