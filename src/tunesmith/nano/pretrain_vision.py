"""Make the nano MiniCPM-V: `python -m tunesmith.nano.pretrain_vision` learns its tokenizer, trains it and writes it."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import nn

from ..data.slicing import Slicing
from ..data.tokenizer import TextTokenizer
from ..data.types import IGNORE
from ..models.minicpmv import MiniCPMVConfig, MiniCPMVForCausalLM, minicpmv_head
from ..ops.loss import label_loss
from . import VISION_MODEL, text, vocabulary
from .look import Looking, learn_to_see
from .vision_rows import batches, layout, talk

VOCABULARY = 2000
TOKENIZER_TALKS = 4000
TOKENIZER_TEXTS = 4000
HANZI = 1000
"""Hanzi that are always pieces: the most frequent of the generated texts."""
SEEING = tuple(f"<{slash}{name}>" for name in ("image", "ref", "box", "quad", "point", "slice") for slash in ("", "/"))
"""The special tokens of pictures; the published ids are 101 to 112."""
FIRST_SEEING = 101
SHAPE: dict[str, Any] = {
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 1,
    "dim_model_base": 64,
    "drop_vision_last_layer": True,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 128,
    "image_size": 70,
    "initializer_range": 0.1,
    "intermediate_size": 352,
    "max_position_embeddings": 2048,
    "max_slice_nums": 4,
    "mm_use_im_start_end": True,
    "model_type": "minicpmv",
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "num_key_value_heads": 4,
    "patch_size": 14,
    "query_num": 16,
    "rms_norm_eps": 1e-05,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "scale_depth": 1.4,
    "scale_emb": 12,
    "scale_resolution": 70,
    "slice_mode": True,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vision_encoder": "vit_nano_patch14_70",
    "vision_tower": {
        "class_token": False,
        "depth_before_drop": 4,
        "embed_dim": 128,
        "hidden_act": "gelu_erf",
        "image_size": 70,
        "layer_norm_eps": 1e-06,
        "mlp_hidden_dim": 384,
        "mlp_ratio": 3.0,
        "num_heads": 4,
        "patch_size": 14,
        "qkv_bias": True,
    },
    "vocab_size": VOCABULARY,
}
GENERATION = {"bos_token_id": 1, "do_sample": True, "eos_token_id": 2, "temperature": 0.3, "top_p": 0.8}


@dataclass(frozen=True)
class VisionRecipe:
    """How long and how fast to learn.

    `looks`: steps of the vision side by itself, before the others (`look.py`), at `look_rate`; later
    `look_rows` pictures a step, with a loss times `look_share`. `learning_rate` is that of the embedding and the norms of the language model; its matrices take it divided by the
    width. Tower and resampler take `vision_rate`. Warm-up, then down to zero along half a cosine.
    """

    steps: int = 3000
    learning_rate: float = 0.006
    vision_rate: float = 0.0007
    warmup: int = 100
    weight_decay: float = 0.05
    batch_tokens: int = 1024
    seed: int = 0
    looks: int = 1500
    look_rate: float = 0.0007
    look_rows: int = 8
    look_share: float = 0.03
    save_every: int = 200

    def factor(self, step: int) -> float:
        """Return what the learning rates are multiplied by at `step`, counted from 0."""
        return min((step + 1) / self.warmup, 0.5 + 0.5 * math.cos(math.pi * step / self.steps))


def vision_layout(texts: list[str]) -> vocabulary.Layout:
    """Return the vocabulary's fixed part: special tokens at their published ids, and the frequent hanzi of `texts`."""
    count = FIRST_SEEING - len(vocabulary.SPECIAL)
    first = (*vocabulary.SPECIAL, *vocabulary.BYTES[:count], *SEEING, *vocabulary.BYTES[count:])
    hanzi = Counter(one for each in texts for one in each if "\u4e00" <= one <= "\u9fff")
    frequent = [one for one, _ in sorted(hanzi.items(), key=lambda pair: (-pair[1], pair[0]))[:HANZI]]
    plain = [one for one in vocabulary.alphabet() if not "\u4e00" <= one <= "\u9fff"]
    special = (*vocabulary.SPECIAL, *SEEING)
    return vocabulary.Layout(first, special, (*plain, *frequent), marks_start=False, chat_template=None)


def learn_tokenizer(folder: Path, seed: int) -> TextTokenizer:
    """Learn the tokenizer from talks about pictures, and hanzi from other talks; write it and read it back."""
    talks = []
    for number in range(TOKENIZER_TALKS):
        for question in talk(f"{seed} tokenizer {number}")[1]:
            talks += [f"<用户>\n{question.text}<AI>", question.answer]
    rng = Random(f"{seed} tokenizer")
    others = [turn["content"] for _ in range(TOKENIZER_TEXTS) for turn in text.conversation(rng)]
    fixed = vision_layout([*talks, *others])
    vocabulary.write(vocabulary.learn([*talks, *others], VOCABULARY, fixed), folder, fixed)
    return TextTokenizer.load(folder)


def build(seed: int) -> MiniCPMVForCausalLM:
    """Build the model; matrices begin with what keeps the size of their input, so that all of it learns at once."""
    torch.manual_seed(seed)
    model = MiniCPMVForCausalLM(MiniCPMVConfig(**SHAPE))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.startswith("llm.") and name.endswith("_proj.weight"):
                nn.init.normal_(parameter, std=SHAPE["initializer_range"] / math.sqrt(model.config.width))
            elif name in ("vpm.pos_embed", "resampler.query"):
                nn.init.normal_(parameter, std=0.3 if name == "vpm.pos_embed" else 1.0)
            elif not name.startswith("llm.") and parameter.ndim > 1 and name != "resampler.pos_embed":
                nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        # Most of a patch's pixels are alike: three quarters of the projection begin blind to that, and sharper.
        forms = model.vpm.patch_embed.proj.weight[model.config.tower.width // 4 :]
        forms.sub_(forms.mean((2, 3), keepdim=True)).mul_(3.0)
    return model


def optimizer_of(model: MiniCPMVForCausalLM, looking: Looking, recipe: VisionRecipe) -> torch.optim.AdamW:
    """Return AdamW with one group a kind of parameter: embedding and norms, matrices, and the vision side's two."""
    groups: dict[str, list[nn.Parameter]] = {"embedding": [], "matrix": [], "seeing": [], "seeing matrix": []}
    groups["seeing"] += looking.heads.parameters()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:  # resampler.pos_embed, as published
            continue
        if name.startswith("llm."):
            groups["matrix" if name.endswith("_proj.weight") else "embedding"].append(parameter)
        else:
            groups["seeing matrix" if name.endswith("weight") and parameter.ndim > 1 else "seeing"].append(parameter)
    rates = {
        "embedding": recipe.learning_rate,
        "matrix": recipe.learning_rate / model.config.width,
        "seeing": recipe.vision_rate,
        "seeing matrix": recipe.vision_rate,
    }
    return torch.optim.AdamW(
        [
            {"params": group, "base": rates[kind], "weight_decay": recipe.weight_decay * kind.endswith("matrix")}
            for kind, group in groups.items()
        ],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
    )


def train(looking: Looking, tokenizer: TextTokenizer, recipe: VisionRecipe, folder: Path) -> dict[str, Any]:
    """Train in place and return what was done; the folder is written again every `save_every` steps."""
    model = looking.model
    optimizer, console, head = optimizer_of(model, looking, recipe), Console(), minicpmv_head(model)
    chat = layout(Slicing.of(model.config.to_dict()))
    done: dict[str, Any] = {"steps": 0, "pictures": 0, "tokens": 0, "seconds": 0.0}
    began, average = time.monotonic(), 0.0
    model.train()
    for batch in batches(tokenizer, chat, recipe.seed, batch_tokens=recipe.batch_tokens):
        if done["steps"] >= recipe.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["base"] * recipe.factor(done["steps"])
        seen = model.get_decoder()(batch.ids_BT, pixel_values=batch.pixels, image_bound=batch.bounds, use_cache=False)
        hidden_BTD = seen.last_hidden_state
        number = int((batch.labels_BT[:, 1:] != IGNORE).sum())
        loss = label_loss(hidden_BTD, batch.labels_BT, head, head_parameters(model)) / number
        (loss + recipe.look_share * looking.loss(recipe.look_rows)[0]).backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        value = float(loss.detach())
        average = value if not average else 0.98 * average + 0.02 * value
        done = {
            "steps": done["steps"] + 1,
            "pictures": done["pictures"] + len(batch.ids_BT),
            "tokens": done["tokens"] + batch.ids_BT.numel(),
            "seconds": time.monotonic() - began,
        }
        if done["steps"] % 50 == 0 or done["steps"] == recipe.steps:
            console.print(f"step {done['steps']:5d}  loss {average:.4f}  grad {float(norm):.2f}  "
                          f"pictures {done['pictures']:,}  {done['seconds']:.0f} s")  # fmt: skip
        if done["steps"] % recipe.save_every == 0:
            write(model, folder)
    model.eval()
    return {**done, "loss": average}


def head_parameters(model: MiniCPMVForCausalLM) -> list[nn.Parameter]:
    """Return the parameters of the head."""
    return list(model.get_output_embeddings().parameters())


def write(model: MiniCPMVForCausalLM, folder: Path) -> None:
    """Write config, generation config and the weights as bfloat16 under the published names."""
    config = {"architectures": ["MiniCPMV"], **SHAPE, "torch_dtype": "bfloat16"}
    for name, content in (("config.json", dict(sorted(config.items()))), ("generation_config.json", GENERATION)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tensors = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    partial = folder / "model.safetensors.partial"
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.chmod(0o644)  # others may read it, as the files beside it
    partial.replace(folder / "model.safetensors")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, make the model, write the folder."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.nano.pretrain_vision", description=__doc__)
    parser.add_argument("--out", type=Path, default=VISION_MODEL, help="folder to write")
    parser.add_argument("--start", type=Path, help="folder to go on from: its weights and its tokenizer")
    parser.add_argument("--steps", type=int, default=VisionRecipe.steps)
    parser.add_argument("--looks", type=int, default=VisionRecipe.looks, help="steps of the vision side alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=VisionRecipe.learning_rate)
    parser.add_argument("--vision-rate", type=float, default=VisionRecipe.vision_rate)
    parser.add_argument("--batch-tokens", type=int, default=VisionRecipe.batch_tokens)
    parser.add_argument("--threads", type=int, default=1, help="other numbers of threads round differently")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    recipe = VisionRecipe(
        steps=chosen.steps,
        learning_rate=chosen.learning_rate,
        vision_rate=chosen.vision_rate,
        batch_tokens=chosen.batch_tokens,
        seed=chosen.seed,
        looks=chosen.looks,
    )
    chosen.out.mkdir(parents=True, exist_ok=True)
    if chosen.start is None:
        tokenizer, model = learn_tokenizer(chosen.out, chosen.seed), build(chosen.seed)
    else:
        if chosen.start.resolve() != chosen.out.resolve():
            for name in vocabulary.FILES:
                shutil.copyfile(chosen.start / name, chosen.out / name)
        tokenizer = TextTokenizer.load(chosen.out)
        model = MiniCPMVForCausalLM.from_pretrained(chosen.start, dtype=torch.float32)
        model.resampler.pos_embed.requires_grad_(False)
    looking = Looking(model, recipe.seed)
    seen = learn_to_see(looking, recipe.looks, recipe.look_rate) if recipe.looks else {}
    done = train(looking, tokenizer, recipe, chosen.out)
    write(model, chosen.out)
    Console().print({**seen, **done, **asdict(recipe)})


if __name__ == "__main__":
    main()
