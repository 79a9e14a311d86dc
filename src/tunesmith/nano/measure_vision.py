"""Ask the nano MiniCPM-V about fresh pictures: `python -m tunesmith.nano.measure_vision [folder]` prints what is right."""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table

from ..data.slicing import Slicing
from ..data.tokenizer import TextTokenizer
from ..models.minicpmv import MiniCPMVForCausalLM
from . import VISION_MODEL
from .pictures import draw
from .pictures.questions import ask
from .pictures.scene import UNIT
from .pictures.words import LANGUAGES
from .vision_rows import layout, padded, render_talk

if TYPE_CHECKING:
    from PIL.Image import Image

ROWS = 32
"""Prompts that go through the model together."""
Shares = dict[str, tuple[float, int]]
"""What was asked -> share of exact answers, number of questions."""


@torch.no_grad()
def answers(
    model: MiniCPMVForCausalLM,
    tokenizer: TextTokenizer,
    asked: Sequence[tuple[Image, str]],
    max_new_tokens: int = 32,
) -> list[str]:
    """Answer single questions about pictures, greedily; those of one length go through the model together."""
    chat = layout(Slicing.of(model.config.to_dict()))
    groups: dict[int, list[int]] = defaultdict(list)
    rows = [render_talk(tokenizer, chat, picture, [question], open_turn=True) for picture, question in asked]
    for number, row in enumerate(rows):
        groups[len(row.example.input_ids)].append(number)
    found = [""] * len(asked)
    generate: Any = model.generate
    for length, group in sorted(groups.items()):
        for start in range(0, len(group), ROWS):
            members = group[start : start + ROWS]
            batch = padded([rows[number] for number in members])
            output_BT = generate(
                batch.ids_BT,
                attention_mask=torch.ones_like(batch.ids_BT),
                pixel_values=batch.pixels,
                image_bound=batch.bounds,
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
    model: MiniCPMVForCausalLM, tokenizer: TextTokenizer, pictures: int = 200, held: bool = False, seed: int = 1
) -> dict[str, Shares]:
    """Return the shares of exact answers by kind of question, by form of picture and by language.

    The pictures are fresh: their seeds are not those of training. `held`: with colours and shapes held out of it.
    """
    asked, facts = [], []
    for number in range(pictures):
        name = f"measure {seed} {number}"
        scene, picture = draw(name, held)
        language = LANGUAGES[number % 2]
        form = "one image" if scene.size == (UNIT, UNIT) else "slices"
        for question in ask(scene, Random(name), language):
            asked.append((picture, question.text))
            facts.append((question.kind, form, language, question.answer))
    given = answers(model, tokenizer, asked)
    result: dict[str, dict[str, list[bool]]] = {what: defaultdict(list) for what in ("question", "form", "language")}
    for (kind, form, language, right), answer in zip(facts, given, strict=True):
        for what, value in (("question", kind), ("form", form), ("language", language)):
            result[what][value].append(answer == right)
    return {
        what: {value: (sum(marks) / len(marks), len(marks)) for value, marks in sorted(values.items())}
        for what, values in result.items()
    }


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, print a table."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.nano.measure_vision", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=VISION_MODEL)
    parser.add_argument("--pictures", type=int, default=200, help="fresh pictures; each is asked all it answers")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    model = MiniCPMVForCausalLM.from_pretrained(chosen.folder, dtype=torch.float32).eval()
    tokenizer = TextTokenizer.load(chosen.folder)
    results = [measure(model, tokenizer, chosen.pictures, held, chosen.seed) for held in (False, True)]
    table = Table("", "exact", "of", "pairs held out: exact", "of")
    for what, shares in results[0].items():
        table.add_section()
        for value in shares:
            cells = [result[what].get(value) for result in results]
            texts = [text for cell in cells for text in ((f"{cell[0]:.0%}", str(cell[1])) if cell else ("", ""))]
            table.add_row(value, *texts)
    Console().print(table)


if __name__ == "__main__":
    main()
