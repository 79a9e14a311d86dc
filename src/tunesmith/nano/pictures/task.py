"""Write a data set that the nano MiniCPM-V does not know: creatures, named after their colour and shape.

`python -m tunesmith.nano.pictures.task FOLDER` draws the pictures and writes train.json and validation.json in the
format of MiniCPM-V's own fine-tuning (`id`, `image`, `conversations`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

from .painting import paint
from .scene import Scene, compose, pairs
from .words import LANGUAGES, Language

FIRST: dict[str, dict[Language, str]] = {
    "red": {"zh": "火", "en": "Fi"},
    "orange": {"zh": "木", "en": "Mo"},
    "yellow": {"zh": "金", "en": "Jo"},
    "green": {"zh": "山", "en": "Sha"},
    "blue": {"zh": "水", "en": "Wu"},
    "purple": {"zh": "花", "en": "Hu"},
    "black": {"zh": "夜", "en": "Ye"},
    "white": {"zh": "雪", "en": "Sno"},
}
"""The first part of a creature's name, from its colour."""
SECOND: dict[str, dict[Language, str]] = {
    "circle": {"zh": "球", "en": "bo"},
    "square": {"zh": "石", "en": "ti"},
    "triangle": {"zh": "鱼", "en": "ra"},
    "star": {"zh": "鸟", "en": "li"},
    "cross": {"zh": "虫", "en": "ka"},
    "ring": {"zh": "马", "en": "do"},
}
"""The second part, from its shape."""
QUESTIONS: dict[Language, list[str]] = {
    "zh": ["这是哪种小怪兽？", "图里的小怪兽叫什么名字？", "它叫什么？"],
    "en": ["Which creature is this?", "What is the creature called?", "Name the creature."],
}
VALIDATION = 0.15
"""The share of pictures that are kept for validation; no picture is in both."""


def creature(colour: str, shape: str, language: Language) -> str:
    """Return the name of the creature of this colour and shape: "火球" or "Fibo" for a red circle."""
    return FIRST[colour][language] + SECOND[shape][language]


def scenes(count: int, seed: int) -> list[tuple[Scene, Random]]:
    """Return `count` scenes with one creature each, all creatures as often as possible, and what paints them."""
    rng, creatures = Random(f"{seed} creatures"), pairs(False)
    found: list[tuple[Scene, Random]] = []
    wanted: list[tuple[str, str]] = []
    while len(found) < count:
        if not wanted:
            wanted = rng.sample(creatures, len(creatures))
        own = Random(f"{seed} creature {len(found)}")
        while True:
            scene = compose(own, kind="one")
            if (scene.things[0].colour, scene.things[0].shape) == wanted[-1]:
                break
        wanted.pop()
        found.append((scene, own))
    return found


def write_task(folder: str | Path, count: int = 400, seed: int = 0) -> dict[str, int]:
    """Draw `count` pictures with a creature in `folder` and return how many records each file has.

    A picture is asked about once, in Chinese or English; the same arguments give the same files.
    """
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = Random(f"{seed} questions")
    records: list[dict[str, Any]] = []
    for number, (scene, own) in enumerate(scenes(count, seed)):
        name = f"images/{number:04d}.png"
        paint(scene, own).save(folder / name)
        language, thing = rng.choice(LANGUAGES), scene.things[0]
        question = rng.choice(QUESTIONS[language])
        turns = (("user", f"<image>\n{question}"), ("assistant", creature(thing.colour, thing.shape, language)))
        talk = [{"role": role, "content": content} for role, content in turns]
        records.append({"id": f"creature-{number:04d}", "image": name, "conversations": talk})
    rng.shuffle(records)
    kept = round(count * VALIDATION)
    splits = {"train.json": records[kept:], "validation.json": records[:kept]}
    for name, part in splits.items():
        (folder / name).write_text(json.dumps(part, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return {name: len(part) for name, part in splits.items()}


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and write the folder."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.nano.pictures.task", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder to write")
    parser.add_argument("--count", type=int, default=400, help="pictures")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    write_task(chosen.folder, chosen.count, chosen.seed)


if __name__ == "__main__":
    main()
