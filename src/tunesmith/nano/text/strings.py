"""Operations on words and lists: repeat, reverse, spell, capitals, first and last, sort, count, pick."""

from __future__ import annotations

from random import Random

from .lexicon import NOUNS, VERBS, ZH_NAMES
from .turns import Sample, ask

_HANZI = "天地人日月水火木金土山石田禾上下左右大小多少前后东西南北风雨雪云春夏秋冬花草鸟鱼马牛羊虫"
EN_WORDS = sorted({noun[1] for noun in NOUNS} | {verb[1] for verb in VERBS if " " not in verb[1]})
ZH_WORDS = sorted({noun[0] for noun in NOUNS} | {verb[0] for verb in VERBS})


def repeat(rng: Random) -> Sample:
    """Draw something to say again, once or several times: words, or characters without any sense."""
    if rng.random() < 0.5:
        alphabet = rng.choice((_HANZI, "abcdefghijklmnopqrstuvwxyz", "0123456789"))
        text = " ".join(rng.choice(alphabet) for _ in range(rng.randint(3, 9)))
        form, times = rng.choice((("请重复：{}", 1), ("跟我说：{}", 1), ("Repeat: {}", 1), ("Say: {}", 1)))
    elif rng.random() < 0.5:
        text = "".join(rng.sample(ZH_WORDS, rng.randint(1, 3)))
        form, times = rng.choice((("请重复：{}", 1), ("跟我说：{}", 1), ("重复一遍“{}”", 1), ("把“{}”说两遍", 2)))
    else:
        text = " ".join(rng.sample(EN_WORDS, rng.randint(1, 3)))
        form, times = rng.choice((("Repeat: {}", 1), ("Say: {}", 1), ("Repeat after me: {}", 1), ("Say {} twice", 2)))
    return ask("repeat", form.format(text), " ".join([text] * times), key=text)


def reverse(rng: Random) -> Sample:
    """Draw a short list of words or letters to turn round."""
    if rng.random() < 0.5:
        items, mark = rng.sample(ZH_WORDS, rng.randint(2, 4)), "、"
        form = rng.choice(("把顺序倒过来：{}", "倒着说：{}", "请反过来写：{}"))
    else:
        items = rng.sample(rng.choice((EN_WORDS, [chr(97 + i) for i in range(26)])), rng.randint(2, 4))
        mark = ", "
        form = rng.choice(("Reverse the order: {}", "Reverse: {}", "Say it backwards: {}"))
    text = mark.join(items)
    return ask("reverse", form.format(text), mark.join(items[::-1]), key=text)


def spell(rng: Random) -> Sample:
    """Draw an English word to spell, to put in capitals, or to take a letter from."""
    word = rng.choice(EN_WORDS)
    form, answer = rng.choice((
        ("Spell {}.", "-".join(word)), ("{} 怎么拼写？", "-".join(word)),
        ("Write {} in capitals.", word.upper()), ("把 {} 变成大写。", word.upper()),
        ("What is the first letter of {}?", word[0]), ("{} 的第一个字母是什么？", word[0]),
        ("What is the last letter of {}?", word[-1]), ("How many letters are in {}?", str(len(word))),
    ))  # fmt: skip
    question = form.format(word)
    return ask("spell", question, answer, key=question)


def pick(rng: Random) -> Sample:
    """Draw a list to pick from: the first, the last, a numbered one, or how many there are."""
    zh = rng.random() < 0.5
    items = rng.sample(ZH_WORDS if zh else EN_WORDS, rng.randint(2, 5))
    place = rng.randrange(len(items))
    text = ("、" if zh else ", ").join(items)
    forms = [
        ("{}。第一个词是什么？", items[0]), ("{}。最后一个词是什么？", items[-1]),
        (f"{{}}。第{'一二三四五'[place]}个词是什么？", items[place]), ("{}。一共有几个词？", str(len(items))),
    ] if zh else [
        ("{}. What is the first word?", items[0]), ("{}. What is the last word?", items[-1]),
        (f"{{}}. What is word number {place + 1}?", items[place]), ("{}. How many words?", str(len(items))),
    ]  # fmt: skip
    form, answer = rng.choice(forms)
    return ask("pick", form.format(text), answer, key=text)


def read(rng: Random) -> Sample:
    """Draw a sentence to read something out of: who, what, where."""
    who, thing = rng.choice(ZH_NAMES), rng.choice(NOUNS)
    place = rng.choice(("桌子上", "书包里", "门口", "公园里", "箱子里", "树下"))
    text = rng.choice(("{w}把{t}放在{p}。", "在{p}，{w}找到了{t}。", "{w}在{p}看见了{t}。")).format(
        w=who, t=thing[0], p=place
    )
    question, answer = rng.choice((("说的是谁？", who), ("说的是什么东西？", thing[0]), ("在哪里？", place)))
    return ask("read", text + question, answer, key=text)


TASKS = {
    "repeat": (6.0, repeat),
    "reverse": (1.0, reverse),
    "spell": (1.5, spell),
    "pick": (2.0, pick),
    "read": (4.0, read),
}
