"""Golden cases as model folders, and adapters to load."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

GOLDEN = Path(__file__).parents[1] / "golden" / "minicpm"


@pytest.fixture(scope="session")
def golden_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a golden case as a model folder in the published layout; do not change it."""
    root = tmp_path_factory.mktemp("golden")

    def folder(case: str) -> Path:
        if not (root / case).is_dir():
            (root / case).mkdir()
            shutil.copyfile(GOLDEN / case / "config.json", root / case / "config.json")
            shutil.copyfile(GOLDEN / case / "weights.safetensors", root / case / "model.safetensors")
        return root / case

    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Compute these tiny tensors in one thread: two only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def base(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A writable model folder with a tokenizer."""
    return Path(shutil.copytree(tiny_model_folder, tmp_path / "base"))


@pytest.fixture
def make_adapter() -> Callable[..., Any]:
    """Return a function that writes a random LoRA on a base and gives the model with it."""
    from peft import LoraConfig, get_peft_model

    from tunesmith.models.load import load_model
    from tunesmith.models.weights import write_adapter_identity

    def make(folder: Path, base: Path, identity: bool = True, **options: Any) -> Any:
        settings = {"r": 4, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM", **options}
        with warnings.catch_warnings():  # PEFT asks transformers 5.23 for something by its old name
            warnings.filterwarnings("ignore", message=".is_gradient_checkpointing", category=FutureWarning)
            model: Any = get_peft_model(load_model(base, device="cpu"), LoraConfig(**settings)).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.normal_(std=0.1)
        model.save_pretrained(folder)
        if identity:
            write_adapter_identity(folder, base, str(base))
        return model

    return make


@pytest.fixture
def adapter(base: Path, make_adapter: Callable[..., Any], tmp_path: Path) -> Path:
    """An adapter folder on `base`."""
    make_adapter(tmp_path / "adapter", base)
    return tmp_path / "adapter"
