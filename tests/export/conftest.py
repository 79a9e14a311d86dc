"""Short runs of every kind on the bundled models, and an export that is compared in this process: quicker."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tunesmith.export import check, run
from tunesmith.locate import BUNDLED
from tunesmith.training.run import train

ROWS = [
    [("user", "Who are you?"), ("assistant", "I am Pip, the parrot of the house.")],
    [("system", "Be short."), ("user", "What do you eat?"), ("assistant", "Seeds, 瓜子.")],
]
HEAD = {"method": "lora", "rank": 4, "targets": ["q_proj", "lm_head"]}
PARTS = {"method": "lora", "rank": 4, "vision": "full", "resampler": "full", "embeddings": "full"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora": ("nano-minicpm", {"method": "lora", "rank": 4}),
    "full": ("nano-minicpm", {"method": "full"}),
    "head": ("nano-minicpm", HEAD),
    "transnormer": ("nano-transnormer", {"method": "lora", "rank": 4}),
    "vision": ("nano-minicpmv", PARTS),
    "llama": ("", {"method": "lora", "rank": 4}),
}


@pytest.fixture(scope="session")
def llama_folder(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama with an untied head, and the tokenizer of the tiny MiniCPM."""
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "llama"
    folder.mkdir()
    for file in tiny_model_folder.glob("tokenizer*.json"):
        shutil.copy(file, folder)
    size = json.loads((tiny_model_folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    config = LlamaConfig(
        vocab_size=size, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=256, **sizes
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, llama_folder: Path) -> Callable[[str], Path]:
    """A function that gives the folder of a finished run of two steps; copy it before changing it."""
    root, made = tmp_path_factory.mktemp("runs"), {}
    rows = [{"messages": [{"role": role, "content": text} for role, text in talk]} for talk in ROWS]
    (root / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    pictures = Path(BUNDLED["nano-minicpmv"]).parent / "data" / "pictures"
    shutil.copytree(pictures / "images", root / "images")
    seen = json.loads((pictures / "train.json").read_text(encoding="utf-8"))[:2]
    (root / "seen.json").write_text(json.dumps(seen), encoding="utf-8")

    def run_of(kind: str) -> Path:
        if kind not in made:
            model, tuning = KINDS[kind]
            training = {"steps": 2, "batch_size": 2, "learning_rate": 3e-3, "precision": "fp32", "device": "cpu"}
            config = {
                "model": model or str(llama_folder),
                "output": str(root / kind),
                "data": {"train": str(root / ("seen.json" if kind == "vision" else "rows.json"))},
                "tuning": tuning,
                "training": {**training, "report_to": [], "verify": False, "warmup_steps": 0},
            }
            with warnings.catch_warnings():  # PEFT's, of an adapter on a tied head: what is tested here
                warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
                assert train(config).state == "finished"
            made[kind] = root / kind
        return made[kind]

    return run_of


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let exports be compared in this process, and not in one of their own."""

    def compared(task: Any, expected: Path) -> dict[str, Any]:
        return check.judged(check.compare(task, expected))

    monkeypatch.setattr(run, "check_in_clean_process", compared)
