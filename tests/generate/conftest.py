"""A loaded tiny model, and one that says what a test tells it to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from tunesmith.data.tokenizer import TextTokenizer
from tunesmith.models.load import Loaded, load, text_tokenizer


@pytest.fixture(scope="session")
def tiny_loaded(tiny_model_folder: Path) -> Loaded:
    """The random tiny MiniCPM."""
    return load(tiny_model_folder, device="cpu")


@pytest.fixture(scope="session")
def tiny_tokenizer(tiny_loaded: Loaded) -> TextTokenizer:
    """Its tokenizer."""
    return text_tokenizer(tiny_loaded.tokenizer)


class ScriptConfig(PreTrainedConfig):
    """The little that generation asks of a config."""

    model_type = "script"
    max_position_embeddings = 512
    vocab_size = 1000


class ScriptModel(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Says `script` after any prompt, token by token, then its end token for ever; `prompts` keeps what it was sent."""

    config_class = ScriptConfig

    def __init__(self, config: ScriptConfig, script: list[int], end: int) -> None:
        super().__init__(config)
        self.script, self.end, self.prompts = script, end, []
        self.nothing = nn.Parameter(torch.zeros(1))
        self.post_init()
        self.generation_config.use_cache = False

    def prepare_inputs_for_generation(
        self, input_ids: Tensor, attention_mask: Any = None, is_first_iteration: bool = False, **kwargs: Any
    ) -> dict[str, Any]:
        """Send all tokens every time: there is no cache."""
        if is_first_iteration:
            self.prompts.append(input_ids[0].tolist())
        return {"input_ids": input_ids}

    def forward(self, input_ids: Tensor, **_: Any) -> CausalLMOutputWithPast:
        """Return logits (B, 1, V) that leave no choice."""
        said = input_ids.shape[1] - len(self.prompts[-1])
        token = self.script[said] if said < len(self.script) else self.end
        logits = torch.full((input_ids.shape[0], 1, self.config.vocab_size), -1e9)
        logits[:, :, token] = 0
        return CausalLMOutputWithPast(logits=logits)


@pytest.fixture
def scripted(tiny_loaded: Loaded, tiny_tokenizer: TextTokenizer) -> Callable[..., Loaded]:
    """Return a function: text (or ids) -> a loaded model that answers with it."""

    def build(answer: str | list[int]) -> Loaded:
        ids = tiny_tokenizer.encode(answer) if isinstance(answer, str) else answer
        assert tiny_tokenizer.eos_id is not None
        return tiny_loaded._replace(model=ScriptModel(ScriptConfig(), ids, tiny_tokenizer.eos_id).eval())

    return build


VISION = Path(__file__).parents[1] / "golden" / "minicpmv2"


@pytest.fixture(scope="session")
def vision_loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Loaded]:
    """Return a function that gives a golden case of MiniCPM-V 2.0 in float32, loaded from a folder as it is published.

    The folder is the `name_or_path` of its tokenizer.
    """
    root, known = tmp_path_factory.mktemp("vision"), {}

    def get(case: str) -> Loaded:
        if case not in known:
            shutil.copytree(VISION / "tokenizer", root / case)
            shutil.copyfile(VISION / case / "config.json", root / case / "config.json")
            shutil.copyfile(VISION / case / "weights.safetensors", root / case / "model.safetensors")
            known[case] = load(root / case, device="cpu", dtype="float32")
        return known[case]

    return get


@pytest.fixture(scope="session")
def golden_runs() -> dict[str, dict[str, Any]]:
    """The runs of the published chat by name; `case` is added, and `picture`: the path of the picture, or None."""
    runs = {}
    for case in ("chat_noslice", "chat_sliced"):
        for run in json.loads((VISION / case / "case.json").read_text(encoding="utf-8"))["runs"]:
            picture = VISION / "pictures" / run["image"] if run["image"] else None
            runs[run["run"]] = {**run, "case": case, "picture": picture}
    return runs
