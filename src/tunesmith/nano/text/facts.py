"""Small facts: capitals, colours, animals, calendar, opposites, plurals, kinds of things, word translation."""

from __future__ import annotations

from random import Random

from .lexicon import (
    ANIMALS,
    CAPITALS,
    COLOURS,
    DAYS,
    DIGITS,
    KINDS,
    MONTHS,
    NOUNS,
    OPPOSITES,
    SEASONS,
    VERBS,
)
from .turns import Sample, ask, other, words

CAPITAL_ZH = words("{}的首都是哪里？ {}的首都是什么？ {}首都 请问{}的首都在哪里？ 哪个城市是{}的首都？ 说出{}的首都。")
CAPITAL_EN = words("""
    What is the capital of {}?
    Name the capital of {}.
    Which city is the capital of {}?
    capital of {}
    Tell me the capital of {}.
    """)
COUNTRY_ZH = words("{}是哪个国家的首都？ {}在哪个国家？ 哪个国家的首都是{}？")
COUNTRY_EN = words("""
    Which country has {} as its capital?
    {} is the capital of which country?
    Where is {}?
    """)
COLOUR_ZH = words("{}是什么颜色的？ {}是什么颜色？ {}的颜色是什么？ 请问{}什么颜色？")
COLOUR_EN = words("""
    What colour is {}?
    Which colour is {}?
    Tell me the colour of {}.
    """)
OPPOSITE_ZH = words("“{}”的反义词是什么？ {}的反义词 {}的反义词是什么？ 与{}相反的词是什么？ 请说出{}的反义词。")
OPPOSITE_EN = words("""
    What is the opposite of {}?
    opposite of {}
    Give me the opposite of {}.
    Which word means the opposite of {}?
    """)
TO_EN = words("“{}”用英语怎么说？ {}的英文是什么？ 把“{}”翻译成英文。 请翻译成英语：{} {}用英文怎么说？ 翻译：{}")
TO_ZH = words("""
    “{}”是什么意思？
    {}用中文怎么说？
    把 {} 翻译成中文。
    请翻译成中文：{}
    How do you say {} in Chinese?
    Translate {} into Chinese.
    """)
TO_EN_FROM_EN = words("""
    What is {} in English?
    Translate {} into English.
    """)
NEXT = {"zh": ("{}的后面是什么？", "{}之后是什么？"), "en": ("What comes after {}?", "What follows {}?")}
PREVIOUS = {"zh": ("{}的前面是什么？", "{}之前是什么？"), "en": ("What comes before {}?", "What is before {}?")}
PLURAL = words("""
    What is the plural of {}?
    plural of {}
    Give me the plural of {}.
    One {}, two what?
    {} 的复数是什么？
    """)

COUNT = {"zh": ("从 {} 数到 {}。", "请从 {} 数到 {}"), "en": ("Count from {} to {}.", "count {} to {}")}
COUNT_WORDS = {"zh": "用文字从 {} 数到 {}。", "en": "Count from {} to {} in words."}


def capital(rng: Random) -> Sample:
    """Draw a question about a capital or its country."""
    zh_country, zh_city, en_country, en_city = rng.choice(CAPITALS)
    question, answer = rng.choice((
        (rng.choice(CAPITAL_ZH).format(zh_country), zh_city + "。"),
        (rng.choice(CAPITAL_EN).format(en_country), en_city + "."),
        (rng.choice(COUNTRY_ZH).format(zh_city), zh_country + "。"),
        (rng.choice(COUNTRY_EN).format(en_city), en_country[0].upper() + en_country[1:] + "."),
    ))  # fmt: skip
    return ask("capital", question, answer, key=question)


def colour(rng: Random) -> Sample:
    """Draw a question about the usual colour of a thing."""
    zh_thing, zh_colour, en_thing, en_colour = rng.choice(COLOURS)
    if rng.random() < 0.5:
        question, answer = rng.choice(COLOUR_ZH).format(zh_thing), f"{zh_thing}是{zh_colour}的。"
    else:
        question, answer = (
            rng.choice(COLOUR_EN).format(en_thing),
            f"{en_thing[0].upper() + en_thing[1:]} is {en_colour}.",
        )
    return ask("colour", question, answer, key=question)


def animal(rng: Random) -> Sample:
    """Draw a question about the legs or the voice of an animal."""
    zh, legs, zh_sound, en, en_sound = rng.choice(ANIMALS)
    question, answer = rng.choice((
        (rng.choice(("{}有几条腿？", "一只{}有多少条腿？", "{}几条腿")).format(zh), f"{zh}有{legs}条腿。"),
        (rng.choice(("How many legs does a {} have?", "Legs of a {}?")).format(en), f"A {en} has {legs} legs."),
        (rng.choice(("{}怎么叫？", "{}的叫声是什么？", "{}是怎么叫的？")).format(zh), f"{zh_sound}。"),
        (rng.choice(("What does a {} say?", "What sound does a {} make?")).format(en), f"{en_sound.capitalize()}."),
    ))  # fmt: skip
    return ask("animal", question, answer, key=question)


def calendar(rng: Random) -> Sample:
    """Draw what comes before or after a day, a month, a season or a small number."""
    language = rng.choice(("zh", "en"))
    names = rng.choice((DAYS, DAYS, MONTHS, MONTHS, SEASONS))[language]
    place, step = rng.randrange(len(names)), rng.choice((1, -1))
    name, answer = names[place], names[(place + step) % len(names)]
    question = rng.choice(NEXT[language] if step > 0 else PREVIOUS[language]).format(name)
    return ask("calendar", question, answer + ("。" if language == "zh" else "."), key=question)


def opposite(rng: Random) -> Sample:
    """Draw a question about an opposite."""
    zh, en, zh_opposite, en_opposite = rng.choice(OPPOSITES)
    if rng.random() < 0.4 and (zh_opposite, en_opposite) not in (("矮", "short"), ("短", "short"), ("年老", "old")):
        zh, en, zh_opposite, en_opposite = zh_opposite, en_opposite, zh, en
    if rng.random() < 0.5 or en in ("thin", "old", "short"):
        question, answer = rng.choice(OPPOSITE_ZH).format(zh), zh_opposite
    else:
        question, answer = rng.choice(OPPOSITE_EN).format(en), en_opposite
    return ask("opposite", question, answer, key=question)


def translate(rng: Random) -> Sample:
    """Draw a word to translate."""
    zh, en = rng.choice(rng.choice((NOUNS, NOUNS, VERBS, OPPOSITES)))[:2]
    if rng.random() < 0.5:
        question, answer = rng.choice(TO_EN * 2 + TO_EN_FROM_EN).format(zh), en
    else:
        question, answer = rng.choice(TO_ZH).format(en), zh
    if en in ("light", "answer", "work", "orange"):  # two Chinese words each: only towards English
        question, answer = rng.choice(TO_EN).format(zh), en
    return ask("translate", question, answer, key=question)


def plural(rng: Random) -> Sample:
    """Draw an English noun to put into the plural."""
    _, en, many, _ = rng.choice([noun for noun in NOUNS if noun[2]])
    question = rng.choice(PLURAL).format(en)
    return ask("plural", question, many, key=question)


def kind(rng: Random) -> Sample:
    """Draw a question about the kind of a thing: which kind, or yes and no."""
    nouns = [noun for noun in NOUNS if noun[3]]
    zh, en, _, name = rng.choice(nouns)
    asked = name if rng.random() < 0.5 else other(rng, sorted(KINDS), name)
    if (name, asked) in (("fruit", "food"), ("vegetable", "food"), ("person", "animal")):
        asked = "vehicle"  # where the answer could be argued about
    fits = asked == name
    form = rng.randrange(3)
    if form == 0:
        question, answer = (
            rng.choice(("{}是{}吗？", "请问{}是不是{}？")).format(zh, KINDS[asked]),
            "是的。" if fits else "不是。",
        )
    elif form == 1:
        question = rng.choice(("Does {} belong to {}?", "Is {} a kind of {}?")).format(en, asked)
        answer = "Yes." if fits else "No."
    else:
        question, answer = rng.choice(("{}属于哪一类？", "{}是哪一类东西？", "{}是什么类别？")).format(zh), KINDS[name]
    return ask("kind", question, answer, key=question)


def count(rng: Random) -> Sample:
    """Draw a stretch of counting."""
    language, start = rng.choice(("zh", "en")), rng.choice((1, 1, 1, 2, 3, 5))
    stop = start + rng.randint(2, 7)
    if rng.random() < 0.5 or stop > 10:
        numbers = ", ".join(map(str, range(start, stop + 1)))
        question = rng.choice(COUNT[language]).format(start, stop)
    else:
        numbers = ", ".join(DIGITS[language][start : stop + 1])
        question = COUNT_WORDS[language].format(start, stop)
    return ask("count", question, numbers, key=question)


TASKS = {
    "capital": (4.0, capital),
    "colour": (1.5, colour),
    "animal": (2.0, animal),
    "calendar": (2.0, calendar),
    "opposite": (4.0, opposite),
    "translate": (7.0, translate),
    "plural": (2.0, plural),
    "kind": (3.0, kind),
    "count": (1.0, count),
}
