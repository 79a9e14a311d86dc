"""Something told in one turn and asked for in a later one: a name, a number, a thing, a place."""

from __future__ import annotations

from random import Random

from .lexicon import COLOURS, EN_NAMES, NOUNS, ZH_NAMES
from .turns import Sample, Turn, turns

# told | acknowledged | asked | answered; one line a kind and language
TOLD = {
    "zh": [
        ("我叫{n}。", "你好，{n}！", ("我叫什么名字？", "你记得我的名字吗？", "我是谁？"), "你叫{n}。"),
        ("我今年{d}岁。", "好的，我记住了。", ("我几岁？", "我今年多大？"), "你今年{d}岁。"),
        ("请记住数字{d}。", "好的，我记住了。", ("我让你记住的数字是什么？", "刚才的数字是多少？"), "{d}"),
        ("我最喜欢的颜色是{c}。", "{c}很好看。", ("我喜欢什么颜色？", "我最喜欢的颜色是什么？"), "你最喜欢{c}。"),
        (
            "我养了一只{t}，叫{n}。",
            "{n}这个名字真好听。",
            ("我的{t}叫什么？", "我养的动物叫什么名字？"),
            "你的{t}叫{n}。",
        ),
        ("我把钥匙放在{p}了。", "好的，我记住了。", ("我的钥匙在哪里？", "钥匙放在哪儿了？"), "你的钥匙在{p}。"),
    ],
    "en": [
        ("My name is {n}.", "Nice to meet you, {n}!", ("What is my name?", "Do you remember my name?", "Who am I?"),
         "Your name is {n}."),
        ("I am {d} years old.", "OK, I will remember.", ("How old am I?", "What is my age?"), "You are {d} years old."),
        ("Remember the number {d}.", "OK, I will remember.", ("Which number did I tell you?", "What was the number?"),
         "{d}"),
        ("My favourite colour is {c}.", "I like {c} too.", ("Which colour do I like?", "What is my favourite colour?"),
         "You like {c}."),
        ("I have a {t} named {n}.", "{n} is a nice name.", ("What is the name of my {t}?",), "Your {t} is named {n}."),
    ],
}  # fmt: skip
PLACES = ("桌子上", "抽屉里", "书包里", "门口", "床下", "冰箱上")


def remember(rng: Random, between: list[Turn] | None = None) -> Sample:
    """Draw a thing told and asked for, with the turns of `between` in the middle."""
    language = rng.choice(("zh", "en"))
    column = ("zh", "en").index(language)
    animal = rng.choice([noun for noun in NOUNS if noun[3] == "animal"])[column]
    slots = {
        "n": rng.choice((ZH_NAMES, EN_NAMES)[column]), "d": str(rng.randint(2, 99)), "t": animal,
        "c": rng.choice(COLOURS)[1 + 2 * column], "p": rng.choice(PLACES),
    }  # fmt: skip
    told, noted, asked, answered = rng.choice(TOLD[language])
    first, last = turns(told, noted), turns(rng.choice(asked), answered)
    filled = [[{**turn, "content": turn["content"].format(**slots)} for turn in part] for part in (first, last)]
    return Sample("remember", [*filled[0], *(between or []), *filled[1]], key=told.format(**slots))


TASKS = {"remember": (4.0, remember)}
