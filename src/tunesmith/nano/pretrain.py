"""Make the nano MiniCPM: `python -m tunesmith.nano.pretrain` learns its tokenizer, trains it and writes its folder."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from ..data.tokenizer import TextTokenizer
from ..data.types import IGNORE
from ..models.minicpm import MiniCPMConfig, MiniCPMForCausalLM, minicpm_head
from ..ops.loss import label_loss
from . import MODEL, text, vocabulary
from .rows import Drawing, pool

VOCABULARY = 5000
TOKENIZER_TEXTS = 20000
SHAPE: dict[str, Any] = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "dim_model_base": 64,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 192,
    "initializer_range": 0.1,
    "intermediate_size": 512,
    "max_position_embeddings": 2048,
    "model_type": "minicpm",
    "num_attention_heads": 6,
    "num_hidden_layers": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "scale_depth": 1.4,
    "scale_emb": 12,
    "tie_word_embeddings": True,
    "use_cache": True,
    "vocab_size": VOCABULARY,
}
GENERATION = {"bos_token_id": 1, "do_sample": True, "eos_token_id": 2, "temperature": 0.3, "top_p": 0.8}


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to learn.

    The learning rate is the one of the embedding and the norms; matrices take it divided by the width, as in the
    MiniCPM report. Warm-up, then constant, then down to zero in the last `decay` of the steps.
    """

    steps: int = 3000
    learning_rate: float = 0.01
    warmup: int = 100
    decay: float = 0.95
    weight_decay: float = 0.1
    drawing: Drawing = field(default_factory=Drawing)

    def factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by at `step`, counted from 0."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min((step + 1) / self.warmup, 1.0, left)


def learn_tokenizer(folder: Path, seed: int) -> TextTokenizer:
    """Learn the tokenizer from generated conversations, write it to `folder` and read it back."""
    rng = Random(f"{seed} tokenizer")
    texts = []
    for _ in range(TOKENIZER_TEXTS):
        for turn in text.conversation(rng):
            texts.append(f"<用户>{turn['content']}<AI>" if turn["role"] == "user" else turn["content"])
    vocabulary.write(vocabulary.learn(texts, VOCABULARY), folder)
    return TextTokenizer.load(folder)


def build(seed: int) -> MiniCPMForCausalLM:
    """Build the model; matrices begin with `initializer_range` divided by the root of the width (muP)."""
    torch.manual_seed(seed)
    model = MiniCPMForCausalLM(MiniCPMConfig(**SHAPE))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("_proj.weight"):
                nn.init.normal_(parameter, std=SHAPE["initializer_range"] / math.sqrt(model.config.width))
    return model


def optimizer_of(model: MiniCPMForCausalLM, recipe: Recipe) -> torch.optim.AdamW:
    """Return AdamW with one group a kind of parameter: embedding, matrices, norms."""
    groups: dict[str, list[nn.Parameter]] = {"embedding": [], "matrix": [], "norm": []}
    for name, parameter in model.named_parameters():
        kind = "matrix" if name.endswith("_proj.weight") else "norm" if "norm" in name else "embedding"
        groups[kind].append(parameter)
    rate, width = recipe.learning_rate, model.config.width
    return torch.optim.AdamW(
        [
            {"params": groups["embedding"], "base": rate, "weight_decay": 0.0},
            {"params": groups["matrix"], "base": rate / width, "weight_decay": recipe.weight_decay},
            {"params": groups["norm"], "base": rate, "weight_decay": 0.0},
        ],
        lr=rate,
        betas=(0.9, 0.98),
    )


def batches(tokenizer: TextTokenizer, drawing: Drawing, start: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the endless stream of batches from batch number `start` on."""
    seen = 0
    for number in count():
        for batch in pool(tokenizer, drawing, number):
            if seen >= start:
                yield batch
            seen += 1


def train(model: MiniCPMForCausalLM, tokenizer: TextTokenizer, recipe: Recipe, state: Path | None) -> dict[str, Any]:
    """Train in place and return what was done; with `state`, a file that a killed run goes on from."""
    optimizer, console = optimizer_of(model, recipe), Console()
    done: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0}
    if state is not None and state.is_file():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["done"]
    began, head, average = time.monotonic() - done["seconds"], minicpm_head(model), 0.0
    model.train()
    for ids_BT, labels_BT in batches(tokenizer, recipe.drawing, done["step"]):
        if done["step"] >= recipe.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * recipe.factor(done["step"])
        hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
        number = int((labels_BT[:, 1:] != IGNORE).sum())
        loss = label_loss(hidden_BTD, labels_BT, head, [model.lm_head.weight]) / number
        loss.backward()
        value = float(loss.detach())
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average = value if not average else 0.98 * average + 0.02 * value
        done = {"step": done["step"] + 1, "tokens": done["tokens"] + ids_BT.numel(),
                "seconds": time.monotonic() - began}  # fmt: skip
        if done["step"] % 100 == 0 or done["step"] == recipe.steps:
            console.print(f"step {done['step']:5d}  loss {average:.4f}  grad {float(norm):.2f}  "
                          f"tokens {done['tokens']:,}  {done['seconds']:.0f} s")  # fmt: skip
        if state is not None and (done["step"] % 250 == 0 or done["step"] == recipe.steps):
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "done": done}, state)
    model.eval()
    return {**done, "loss": average}


def write(model: MiniCPMForCausalLM, folder: Path) -> None:
    """Write config, generation config and the weights as bfloat16 under the published names."""
    config = {"architectures": ["MiniCPMForCausalLM"], **SHAPE, "torch_dtype": "bfloat16"}
    for name, content in (("config.json", dict(sorted(config.items()))), ("generation_config.json", GENERATION)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tensors = {
        name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items() if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, make the model, write the folder."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.nano.pretrain", description=__doc__)
    parser.add_argument("--out", type=Path, default=MODEL, help="folder to write")
    parser.add_argument("--start", type=Path, help="folder to go on from: its weights and its tokenizer")
    parser.add_argument("--slow", type=float, default=1.0, help="draw the slow tasks so much more often")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=Recipe.learning_rate)
    parser.add_argument("--batch-tokens", type=int, default=Drawing.batch_tokens)
    parser.add_argument("--threads", type=int, default=2, help="other numbers of threads round differently")
    parser.add_argument("--state", type=Path, help="file that keeps the state, to go on from after an interruption")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    recipe = Recipe(
        steps=chosen.steps,
        learning_rate=chosen.learning_rate,
        drawing=Drawing(chosen.seed, chosen.batch_tokens, slow=chosen.slow),
    )
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.start is None:
        tokenizer, model = learn_tokenizer(chosen.out, chosen.seed), build(chosen.seed)
    else:
        for name in vocabulary.FILES:
            shutil.copyfile(chosen.start / name, chosen.out / name)
        tokenizer = TextTokenizer.load(chosen.out)
        model = MiniCPMForCausalLM.from_pretrained(chosen.start, dtype=torch.float32)
    done = train(model, tokenizer, recipe, chosen.state)
    write(model, chosen.out)
    Console().print({**done, **asdict(recipe)})


if __name__ == "__main__":
    main()
