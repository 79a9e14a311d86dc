"""Ask a nano model held-out questions: `python -m tunesmith.nano.measure [folder]` prints the share right a task."""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from random import Random
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import PreTrainedModel

from ..data.chat import ChatFormat
from ..data.chats import load_chat
from ..data.tokenizer import TextTokenizer
from ..models.load import load_model
from . import MODEL, text
from .blueprints import BLUEPRINTS
from .rows import prompt
from .text.identity import named
from .text.turns import Turn

OPEN = ("story", "sentence")
"""Tasks with many right answers, which are not measured."""


@torch.no_grad()
def answers(
    model: PreTrainedModel,
    tokenizer: TextTokenizer,
    chat: ChatFormat,
    questions: list[list[Turn]],
    max_new_tokens: int = 48,
) -> list[str]:
    """Answer conversations that end with a user's turn, greedily; those of one length go through the model together."""
    prompts = [prompt(tokenizer, chat, question) for question in questions]
    groups: dict[int, list[int]] = defaultdict(list)
    for number, ids in enumerate(prompts):
        groups[len(ids)].append(number)
    found = [""] * len(questions)
    generate: Any = model.generate
    for length, members in sorted(groups.items()):
        ids_BT = torch.tensor([prompts[number] for number in members])
        output_BT = generate(
            ids_BT,
            attention_mask=torch.ones_like(ids_BT),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            temperature=None,
            top_p=None,
            pad_token_id=model.config.eos_token_id,
        )
        for number, ids in zip(members, output_BT[:, length:].tolist(), strict=True):
            found[number] = tokenizer.decode(ids).strip()
    return found


def measure(
    model: PreTrainedModel, tokenizer: TextTokenizer, chat: ChatFormat, number: int = 100, seed: int = 1
) -> dict[str, tuple[float, str]]:
    """Return for each task the share of exact answers to `number` held-out questions, and one wrong answer."""
    result, name = {}, BLUEPRINTS[model.config.model_type].name
    for task in text.TASKS:
        if task in OPEN:
            continue
        rng = Random(f"{seed} {task}")
        talks = [named(text.draw(rng, task, held_out=True).messages, name) for _ in range(number)]
        given = answers(model, tokenizer, chat, [talk[:-1] for talk in talks])
        wrong = [
            (talk[-2]["content"], a) for talk, a in zip(talks, given, strict=True) if a != talk[-1]["content"].strip()
        ]
        result[task] = (1 - len(wrong) / number, "  ->  ".join(wrong[0]) if wrong else "")
    return result


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.nano.measure", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=MODEL)
    parser.add_argument("--number", type=int, default=100, help="questions a task")
    chosen = parser.parse_args(arguments)
    model = load_model(chosen.folder, dtype="float32", device="cpu")
    result = measure(model, *load_chat(chosen.folder), chosen.number)
    table = Table("task", "right", "a wrong answer")
    for task, (share, wrong) in result.items():
        table.add_row(task, f"{share:.0%}", wrong.replace("\n", " "))
    mean = sum(share for share, _ in result.values()) / len(result)
    table.add_row("mean", f"{mean:.1%}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
