"""Make a nano text model: `python -m tunesmith.nano.pretrain` learns its tokenizer, trains it and writes its folder."""

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
from tokenizers import Tokenizer
from tokenizers.models import BPE
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from ..data.chat import ChatFormat
from ..data.chats import chat_for
from ..data.tokenizer import TextTokenizer
from ..data.types import IGNORE, Conversation, Message
from ..models.family import family_of
from ..models.load import load_model
from ..models.weights import build_config
from ..ops.loss import label_loss
from . import text, vocabulary
from .blueprints import BLUEPRINTS, GENERATION, Blueprint
from .rows import Drawing, pool

TOKENIZER_TEXTS = 20000


@dataclass(frozen=True)
class Recipe:
    """How long and how fast to learn.

    The learning rate is the one of the embedding and the norms; matrices take it divided by the blueprint's width.
    Warm-up, then constant, then down to zero in the last `decay` of the steps.
    """

    learning_rate: float
    steps: int = 3000
    warmup: int = 100
    decay: float = 0.95
    weight_decay: float = 0.1
    drawing: Drawing = field(default_factory=Drawing)

    def factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by at `step`, counted from 0."""
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return min((step + 1) / self.warmup, 1.0, left)


def learn_tokenizer(family: str, folder: Path, seed: int) -> TextTokenizer:
    """Learn the tokenizer from generated conversations, write it to `folder` and read it back."""
    blueprint, rng = BLUEPRINTS[family], Random(f"{seed} tokenizer")
    chat = chat_for(family, TextTokenizer(Tokenizer(BPE()), vocabulary.ROLES))
    texts = []
    for _ in range(TOKENIZER_TEXTS):
        messages = tuple(Message(turn["role"], turn["content"]) for turn in text.conversation(rng))
        pieces = [piece.text for piece in chat.pieces(Conversation(messages), open_turn=False)]
        texts += pieces if chat.encoding == "message" else ["".join(pieces)]
    size = blueprint.config["vocab_size"]
    blueprint.write_tokenizer(vocabulary.learn(texts, size, blueprint.layout), folder)
    return TextTokenizer.load(folder)


def build(family: str, seed: int) -> PreTrainedModel:
    """Build a family's model with its first weights."""
    torch.manual_seed(seed)
    blueprint = BLUEPRINTS[family]
    config = build_config(CONFIG_MAPPING[family], blueprint.folder, blueprint.config)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if is_matrix(name, parameter):
                nn.init.normal_(parameter, std=blueprint.std / math.sqrt(blueprint.width))
    return model


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Tell a layer's matrices from the embedding, and from vectors such as norms."""
    return parameter.ndim == 2 and "embed" not in name


def optimizer_of(model: PreTrainedModel, recipe: Recipe, width: float) -> torch.optim.AdamW:
    """Return AdamW with two groups of parameters: matrices, and all others."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[is_matrix(name, parameter)].append(parameter)
    rate = recipe.learning_rate
    return torch.optim.AdamW(
        [
            {"params": groups[False], "base": rate, "weight_decay": 0.0},
            {"params": groups[True], "base": rate / width, "weight_decay": recipe.weight_decay},
        ],
        lr=rate,
        betas=(0.9, 0.98),
    )


def batches(
    tokenizer: TextTokenizer, chat: ChatFormat, drawing: Drawing, start: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Return the endless stream of batches from batch number `start` on."""
    seen = 0
    for number in count():
        for batch in pool(tokenizer, chat, drawing, number):
            if seen >= start:
                yield batch
            seen += 1


def train(
    family: str, model: PreTrainedModel, tokenizer: TextTokenizer, recipe: Recipe, state: Path | None
) -> dict[str, Any]:
    """Train in place and return what was done; with `state`, a file that a killed run goes on from."""
    blueprint, chat = BLUEPRINTS[family], chat_for(family, tokenizer)
    optimizer, console = optimizer_of(model, recipe, blueprint.width), Console()
    head = family_of(blueprint.config, blueprint.folder).head(model)
    assert head is not None
    weights, decoder = list(head.module.parameters()), model.get_decoder()
    done: dict[str, Any] = {"step": 0, "tokens": 0, "seconds": 0.0}
    if state is not None and state.is_file():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        done = saved["done"]
    began, average = time.monotonic() - done["seconds"], 0.0
    model.train()
    for ids_BT, labels_BT in batches(tokenizer, chat, recipe.drawing, done["step"]):
        if done["step"] >= recipe.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * recipe.factor(done["step"])
        hidden_BTD = decoder(input_ids=ids_BT, use_cache=False).last_hidden_state
        number = int((labels_BT[:, 1:] != IGNORE).sum())
        loss = label_loss(hidden_BTD, labels_BT, head, weights) / number
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


def write(model: PreTrainedModel, blueprint: Blueprint, folder: Path) -> None:
    """Write config, generation config and the weights as bfloat16 under the published names."""
    for name, content in (
        ("config.json", dict(sorted(blueprint.config.items()))),
        ("generation_config.json", GENERATION),
    ):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tensors = {
        name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items() if name != "lm_head.weight"
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # others may read it, as the files beside it


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, make the model, write the folder."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.nano.pretrain", description=__doc__)
    parser.add_argument("--family", choices=BLUEPRINTS, default="minicpm")
    parser.add_argument("--out", type=Path, help="folder to write; without it, the one of the bundled model")
    parser.add_argument("--start", type=Path, help="folder to go on from: its weights and its tokenizer")
    parser.add_argument("--slow", type=float, default=1.0, help="draw the slow tasks so much more often")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, help="without it, the family's own")
    parser.add_argument("--batch-tokens", type=int, default=Drawing.batch_tokens)
    parser.add_argument("--threads", type=int, default=2, help="other numbers of threads round differently")
    parser.add_argument("--state", type=Path, help="file that keeps the state, to go on from after an interruption")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    blueprint = BLUEPRINTS[chosen.family]
    out: Path = chosen.out or blueprint.folder
    recipe = Recipe(
        steps=chosen.steps,
        learning_rate=chosen.learning_rate or blueprint.learning_rate,
        drawing=Drawing(chosen.seed, chosen.batch_tokens, slow=chosen.slow, name=blueprint.name),
    )
    out.mkdir(parents=True, exist_ok=True)
    if chosen.start is None:
        tokenizer, model = learn_tokenizer(chosen.family, out, chosen.seed), build(chosen.family, chosen.seed)
    else:
        for name in blueprint.files:
            shutil.copyfile(chosen.start / name, out / name)
        tokenizer = TextTokenizer.load(out)
        model = load_model(chosen.start, dtype="float32", device="cpu")
    done = train(chosen.family, model, tokenizer, recipe, chosen.state)
    write(model, blueprint, out)
    Console().print({**done, **asdict(recipe)})


if __name__ == "__main__":
    main()
