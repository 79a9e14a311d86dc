"""Golden cases as model folders, and adapters to load."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

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


# --- MiniCPM-V 2.0 ---------------------------------------------------------------------------------------------------

VISION = Path(__file__).parents[1] / "golden" / "minicpmv2"


@dataclass(frozen=True)
class Prompt:
    """A golden prompt: ids (1, L), its slices as the model takes them, bounds (n, 3), and all that was recorded."""

    ids: Tensor
    pictures: list[Tensor]
    bounds: Tensor
    tensors: dict[str, Tensor]
    facts: dict[str, Any]

    @property
    def inputs(self) -> dict[str, Any]:
        """The arguments of the model's forward."""
        return {"input_ids": self.ids, "pixel_values": self.pictures, "image_bound": self.bounds}

    def every(self, name: str) -> list[Tensor]:
        """What was recorded for each slice."""
        return [self.tensors[f"{name}.{number}"] for number in range(len(self.pictures))]


def pixels(slice_HW3: Tensor) -> Tensor:
    """(3, H, W) float32 as the tower takes it, from bytes."""
    return ((slice_HW3.float() / 255 - 0.5) / 0.5).permute(2, 0, 1).contiguous()


@pytest.fixture(scope="session")
def golden_prompt() -> Callable[[str, str], Prompt]:
    """Return a function that gives a run of a golden case."""

    def prompt(case: str, run: str) -> Prompt:
        tensors = load_file(VISION / case / f"{run}.safetensors")
        facts = json.loads((VISION / case / "case.json").read_text(encoding="utf-8"))
        bounds = tensors.get("image_bound", torch.zeros(0, 2, dtype=torch.int64)).view(-1, 2)
        return Prompt(
            tensors["input_ids"][None],
            [pixels(tensors[f"slice_uint8.{number}"]) for number in range(len(bounds))],
            torch.nn.functional.pad(bounds, (1, 0)),
            tensors,
            next(one for one in facts["runs"] if one["run"] == run),
        )

    return prompt


@pytest.fixture(scope="session")
def vision_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives a golden case of MiniCPM-V 2.0 as a published folder, in two shards."""
    root = tmp_path_factory.mktemp("vision")

    def folder(case: str) -> Path:
        place = root / case
        if not place.is_dir():
            place.mkdir()
            shutil.copyfile(VISION / case / "config.json", place / "config.json")
            weights = load_file(VISION / case / "weights.safetensors")
            names = sorted(weights)
            files = {name: f"model-0000{1 + (number % 2)}-of-00002.safetensors" for number, name in enumerate(names)}
            for file in set(files.values()):
                shard = {name: weights[name] for name in names if files[name] == file}
                save_file(shard, place / file, metadata={"format": "pt"})
            index = json.dumps({"metadata": {}, "weight_map": files})
            (place / "model.safetensors.index.json").write_text(index, encoding="utf-8")
        return place

    return folder


@pytest.fixture
def vision_model(vision_folder: Callable[[str], Path]) -> Callable[[str], Any]:
    """Return a function that gives the model of a golden case in float32, freshly loaded."""
    from tunesmith.models.load import load_model

    return lambda case: load_model(vision_folder(case), dtype="float32", device="cpu")
