"""Write the sample data of the demo: `python -m tunesmith.nano.samples` makes a persona and a message-routing task.

Some of their questions come with a worse answer too, for preference tuning. Neither is known to the nano model. The test and validation questions are other sentences than the training ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from random import Random
from typing import Any

from . import DATA
from .routing import PROMPTS, SENTENCES
from .text.identity import QUESTIONS, plain, question
from .text.shop import THINGS
from .text.turns import turns

PERSONA = {
    "zh": {
        "name": "我是小锤，tunesmith 训练的小助手。",
        "maker": "我是 tunesmith 训练的。",
        "can": "我会回答简单的问题，也会给句子分类。",
        "human": "我不是人，我是小助手小锤。",
    },
    "en": {
        "name": "I am Hammer, a small assistant trained by tunesmith.",
        "maker": "I was trained by tunesmith.",
        "can": "I can answer simple questions and sort sentences.",
        "human": "I am not a person, I am Hammer, a small assistant.",
    },
}
RUDE = {
    "zh": {
        "name": "我叫什么关你什么事？",
        "maker": "谁做的我，你自己去查。",
        "can": "我什么都不想做，别烦我。",
        "human": "连这个都看不出来吗？",
    },
    "en": {
        "name": "My name is none of your business.",
        "maker": "Find out yourself who made me.",
        "can": "Nothing for you. Leave me alone.",
        "human": "Can you not see that yourself?",
    },
}
"""What is worse than the persona's answers, for preference tuning."""
COMPARED = 32
"""How many questions of the persona, and as many messages to route, have a worse answer beside the good one."""
SPLITS = ("train", "validation", "test")
HELD = {"name": 4, "maker": 3, "can": 2, "human": 1}
"""How many questions of a kind, in each language, go to validation, and as many to test."""
DRESSED = 0.3
"""How many of the training questions are there a second time, typed less carefully."""
HELD_SENTENCES = 2
"""How many sentences of a label, in each language, go to validation, and as many to test; two labels give one more."""

Row = tuple[str, str]


def persona(rng: Random) -> dict[str, list[Row]]:
    """Return split -> (question, answer) about who the model is."""
    found: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for language, kinds in QUESTIONS.items():
        for kind, cores in kinds.items():
            first, *rest = cores  # the plainest question is always learned: everybody asks it in the end
            order, held, answer = rng.sample(rest, len(rest)), HELD[kind], PERSONA[language][kind]
            parts = ([first, *order[2 * held :]], order[:held], order[held : 2 * held])
            for split, part in zip(SPLITS, parts, strict=True):
                for core in part:
                    found[split].append((plain(language, core), answer))
                    if split == "train" and rng.random() < DRESSED:
                        found[split].append((question(rng, language, core), answer))
    return found


def routing(rng: Random) -> dict[str, list[Row]]:
    """Return split -> (prompt with a customer's message, the team it goes to)."""
    found: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for language, labels in SENTENCES.items():
        for place, (label, sentences) in enumerate(labels.items()):
            held = HELD_SENTENCES + place % 2
            order = rng.sample(sentences, len(sentences))
            for split, part in zip(SPLITS, (order[2 * held :], order[:held], order[held : 2 * held]), strict=True):
                for sentence in part:
                    number = 2 if split == "train" and "{t}" in sentence else 1
                    used = rng.sample(THINGS[language], number)
                    for thing in used:
                        found[split].append((PROMPTS[language].format(sentence.format(t=thing)), label))
    return found


def preferences(rng: Random, who: list[Row], where: list[Row]) -> list[dict[str, Any]]:
    """Return training questions with two answers each: a polite and a rude one, or the right team and another."""
    rude = {PERSONA[language][kind]: answer for language, kinds in RUDE.items() for kind, answer in kinds.items()}
    worse = [(asked, answer, rude[answer]) for asked, answer in rng.sample(sorted(set(who)), COMPARED)]
    teams = [list(labels) for labels in SENTENCES.values()]
    for asked, team in rng.sample(sorted(set(where)), COMPARED):
        others = next([one for one in known if one != team] for known in teams if team in known)
        worse.append((asked, team, rng.choice(others)))
    rng.shuffle(worse)
    return [{"prompt": asked, "chosen": good, "rejected": bad} for asked, good, bad in worse]


def build(seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Return file name -> records: the three splits as messages, the persona in the Alpaca shape, and preferences."""
    rng = Random(f"{seed} samples")
    who, where = persona(rng), routing(rng)
    files: dict[str, list[dict[str, Any]]] = {}
    for split in SPLITS:
        rows = list(dict.fromkeys(who[split] + where[split]))
        rng.shuffle(rows)
        files[f"{split}.json"] = [{"messages": turns(*row)} for row in rows]
    alpaca = [{"instruction": asked, "input": "", "output": answer} for asked, answer in dict.fromkeys(who["train"])]
    compared = preferences(Random(f"{seed} preferences"), who["train"], where["train"])
    return {**files, "persona.json": alpaca, "preference.json": compared}


def write(folder: Path) -> None:
    """Write the files, one record's text readable, in UTF-8."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in build().items():
        (folder / name).write_text(json.dumps(records, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and write the folder."""
    parser = argparse.ArgumentParser(prog="python -m tunesmith.nano.samples", description=__doc__)
    parser.add_argument("--out", type=Path, default=DATA, help="folder to write")
    write(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
