"""What the tests of the evaluation share: the bundled models, some records, and adapters that say something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import logging

from tunesmith.eval.desk import Desk
from tunesmith.models.load import Loaded, load
from tunesmith.models.weights import write_adapter_identity
from tunesmith.nano import MODEL
from tunesmith.tuning import lora

PAIRS = [
    ("你是谁？", "我是小锤。"),
    ("Who are you?", "I am Hammer."),
    ("Say the word red.", "red"),
    ("What is two plus three?", "five"),
    ("Which team should answer? The parcel is late.", "delivery"),
]


def record(question: str, answer: str, **more: Any) -> dict[str, Any]:
    """Return a record of one question."""
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **more}


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Let the command quieten transformers for one test only."""
    before = logging.get_verbosity()
    yield
    logging.set_verbosity(before)
    logging.enable_progress_bar()


@pytest.fixture(scope="session")
def nano() -> Loaded:
    """The bundled nano-minicpm in float32."""
    return load("nano-minicpm", device="cpu", dtype="float32")


@pytest.fixture
def records(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes records into a file and returns its path."""

    def write(*lines: dict[str, Any], name: str = "test.jsonl") -> str:
        file = tmp_path / name
        file.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        return str(file)

    return write


@pytest.fixture
def data(records: Callable[..., str]) -> str:
    """A file with `PAIRS`."""
    return records(*(record(*pair) for pair in PAIRS))


@pytest.fixture
def desk(tmp_path: Path) -> Callable[[str], Desk]:
    """Return a function: the name of a task -> a desk for it."""
    (tmp_path / "answers").mkdir()
    return lambda task: Desk(tmp_path / "answers", "model", task)


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two adapters of nano-minicpm with other random weights."""
    folders = []
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp("adapters") / f"adapter{seed}"
        loaded = load("nano-minicpm", device="cpu", dtype="float32")
        torch.manual_seed(seed)
        model = lora.apply(loaded.model, loaded.family, lora.Config(method="lora", rank=4))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.3)
        lora.save(model, folder)
        write_adapter_identity(folder, MODEL, "nano-minicpm")
        folders.append(str(folder))
    return folders
