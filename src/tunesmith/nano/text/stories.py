"""Short texts on request: two to four sentences about a given thing, and sentences with a given word."""

from __future__ import annotations

import re
from random import Random

from .lexicon import EN_NAMES, NOUNS, ZH_NAMES
from .turns import Sample, ask

ZH_STARTS = ("从前有一只{t}，名叫{n}。", "有一天，一只叫{n}的{t}来到了{p}。", "{p}住着一只{t}，它的名字叫{n}。")
ZH_MIDDLES = (
    "它每天去{p}找{f}。",
    "它最喜欢的东西是{f}。",
    "它走了很远的路，想找到{f}。",
    "路上它遇到了一只{o}。",
    "一只{o}来和它一起玩。",
)
ZH_ENDS = ("最后它们成了好朋友。", "晚上它高兴地回家睡觉了。", "从此它再也不孤单了。", "它觉得这一天真快乐。")
EN_STARTS = (
    "Once there was a {t} named {n}.",
    "One day a {t} named {n} came to {p}.",
    "A {t} lived near {p}. Its name was {n}.",
)
EN_MIDDLES = (
    "Every day it went to {p} to look for a {f}.",
    "It loved its {f}.",
    "It walked a long way to find a {f}.",
    "On the way it met a {o}.",
    "A {o} came to play with it.",
)
EN_ENDS = (
    "In the end they were good friends.",
    "In the evening it went home happily.",
    "It was never alone again.",
    "It was a happy day.",
)
ZH_PLACES, EN_PLACES = (
    ("河边", "森林里", "山上", "海边", "花园里"),
    ("the river", "the forest", "the sea", "the garden"),
)
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
ANIMAL_WORDS = [noun for noun in NOUNS if noun[3] == "animal"]
THING_WORDS = [noun for noun in NOUNS if noun[3] in ("fruit", "tool", "clothes") and noun[1] != noun[2]]


def story(rng: Random) -> Sample:
    """Draw a story of three to five sentences about an animal."""
    column = rng.randrange(2)
    hero, friend = (noun[column] for noun in rng.sample(ANIMAL_WORDS, 2))
    name = rng.choice((ZH_NAMES, EN_NAMES)[column])
    slots = {"t": hero, "o": friend, "n": name, "f": rng.choice(THING_WORDS)[column],
             "p": rng.choice((ZH_PLACES, EN_PLACES)[column])}  # fmt: skip
    starts, middles, ends = ((ZH_STARTS, ZH_MIDDLES, ZH_ENDS), (EN_STARTS, EN_MIDDLES, EN_ENDS))[column]
    parts = [rng.choice(starts), *rng.sample(middles, rng.randint(1, 3)), rng.choice(ends)]
    forms = (("讲一个{t}的故事。", "给我讲个关于{t}的小故事。", "写一个关于{t}{n}的故事。"),
             ("Tell me a story about a {t}.", "Write a short story about a {t} named {n}."))[column]  # fmt: skip
    text = ("", " ")[column].join(parts)
    question, answer = (_ARTICLE.sub(r"\1n ", one.format(**slots)) for one in (rng.choice(forms), text))
    return ask("story", question, answer)


def sentence(rng: Random) -> Sample:
    """Draw a word and a sentence with it."""
    noun = rng.choice(NOUNS)
    if rng.random() < 0.5:
        form = rng.choice(("用“{}”造句。", "请用“{}”写一句话。"))
        answer = rng.choice(("我很喜欢{}。", "这里有{}。", "我看见了{}。"))
        return ask("sentence", form.format(noun[0]), answer.format(noun[0]))
    form = rng.choice(("Make a sentence with {}.", "Write a sentence with the word {}."))
    return ask("sentence", form.format(noun[1]), rng.choice(("I like the {}.", "I can see the {}.")).format(noun[1]))


TASKS = {"story": (1.0, story), "sentence": (1.5, sentence)}
