"""Questions about a scene with their answers, in Chinese and English; an answer follows from the scene alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from .scene import Scene, Thing
from .words import AT, BACKGROUNDS, COLOURS, NUMBERS, PLACES, SHAPES, Language, article, plural

WORDINGS: dict[str, dict[Language, list[str]]] = {
    "shape": {
        "zh": ["这是什么形状？", "图里是什么形状？", "画的是什么图形？", "图中的图形是什么形状？"],
        "en": ["What shape is this?", "Which shape is in the picture?", "What shape do you see?"],
    },
    "colour": {
        "zh": ["它是什么颜色？", "这是什么颜色的？", "图里的东西是什么颜色？", "用的是哪种颜色？"],
        "en": ["What colour is it?", "Which colour is this?", "What colour do you see?"],
    },
    "count": {
        "zh": ["有几个？", "图里有几个图形？", "图中一共有多少个图形？", "数一数有几个。"],
        "en": ["How many are there?", "How many shapes are there?", "Count the shapes."],
    },
    "where": {
        "zh": ["它在哪里？", "它在图的什么位置？", "它在哪一边？"],
        "en": ["Where is it?", "In which part of the picture is it?", "Where do you see it?"],
    },
    "letter": {
        "zh": ["这是什么字母？", "图里写的是哪个字母？", "写着什么字母？", "图里写的是什么？"],
        "en": ["Which letter is this?", "What letter do you see?", "What is written here?"],
    },
    "digit": {
        "zh": ["这是什么数字？", "图里写的是哪个数字？", "写着什么数字？", "图里写的是什么？"],
        "en": ["Which digit is this?", "What digit do you see?", "What is written here?"],
    },
    "background": {
        "zh": ["背景是什么颜色？", "图的背景是哪种颜色？"],
        "en": ["What colour is the background?", "Which colour is behind it?"],
    },
    "describe": {
        "zh": ["描述一下这张图。", "图里有什么？", "请说说这张图里有什么。"],
        "en": ["Describe the picture.", "What is in the picture?", "Tell me what you see."],
    },
    "name": {
        "zh": ["这是什么？", "图里的东西是什么？"],
        "en": ["What is this?", "What is it?"],
    },
    "colour of": {
        "zh": ["{shape}是什么颜色？", "图里的{shape}是什么颜色的？"],
        "en": ["What colour is the {shape}?", "Which colour does the {shape} have?"],
    },
    "shape of": {
        "zh": ["{colour}的是什么形状？", "{colour}的图形是什么？"],
        "en": ["What shape is the {colour} one?", "Which shape is {colour}?"],
    },
    "shape at": {
        "zh": ["{place}是什么形状？", "{place}的图形是什么形状？"],
        "en": ["What shape is {at}?", "Which shape is {at}?"],
    },
    "colour at": {
        "zh": ["{place}的是什么颜色？", "{place}的图形是什么颜色？"],
        "en": ["What colour is the shape {at}?", "Which colour is {at}?"],
    },
    "where of": {
        "zh": ["{shape}在哪里？", "{shape}在哪一边？"],
        "en": ["Where is the {shape}?", "On which side is the {shape}?"],
    },
    "has shape": {
        "zh": ["图里有{shape}吗？", "有没有{shape}？"],
        "en": ["Is there {a_shape}?", "Do you see {a_shape}?"],
    },
    "has colour": {
        "zh": ["图里有{colour}的东西吗？", "有没有{colour}的图形？"],
        "en": ["Is there anything {colour}?", "Do you see something {colour}?"],
    },
    "has both": {
        "zh": ["图里有{colour}的{shape}吗？", "有没有{colour}的{shape}？"],
        "en": ["Is there {a_both}?", "Do you see {a_both}?"],
    },
}
YES: dict[Language, str] = {"zh": "有", "en": "yes"}
NO: dict[Language, str] = {"zh": "没有", "en": "no"}


@dataclass(frozen=True)
class Question:
    """A question, its right answer, and what kind of question it is (a key of `WORDINGS`)."""

    kind: str
    language: Language
    text: str
    answer: str


def ask(scene: Scene, rng: Random, language: Language) -> list[Question]:
    """Return one question of each kind that this scene answers, in a fixed order; `rng` chooses the wording."""
    found = [*_plain(scene, language), *(_of_two(scene, rng, language) if scene.kind == "two" else ())]
    if scene.kind != "glyph":
        found += _has(scene, rng, language)
    return [Question(kind, language, _worded(kind, language, rng, named), answer) for kind, named, answer in found]


def sentence(scene: Scene, language: Language) -> str:
    """Return what the scene shows, in one sentence."""
    first = scene.things[0]
    if scene.kind == "many":
        number = NUMBERS[len(scene.things)][language]
        if language == "zh":
            return f"有{number}个{COLOURS[first.colour]['zh']}的{SHAPES[first.shape]['zh']}。"
        return f"There are {number} {first.colour} {plural(first.shape)}."
    if language == "zh":
        return "，".join(f"{PLACES[one.place]['zh']}有一个{name(one, 'zh')}" for one in scene.things) + "。"
    return "There is " + " and ".join(f"{article(name(one, 'en'))} {AT[one.place]}" for one in scene.things) + "."


def name(thing: Thing, language: Language) -> str:
    """Return a thing's colour and shape: "红色的圆形", "red circle", "red letter A"."""
    if language == "zh":
        kinds = {"letter": f"字母{thing.glyph}", "digit": f"数字{thing.glyph}"}
        return f"{COLOURS[thing.colour]['zh']}的{kinds.get(thing.shape) or SHAPES[thing.shape]['zh']}"
    return f"{thing.colour} {thing.shape} {thing.glyph}".strip()


Asked = tuple[str, dict[str, str], str]
"""Kind, names for the wording, answer."""


def _plain(scene: Scene, language: Language) -> Iterator[Asked]:
    first = scene.things[0]
    if scene.kind == "glyph":
        yield first.shape, {}, first.glyph
    elif scene.kind != "two":
        yield "shape", {}, SHAPES[first.shape][language]
    if scene.kind != "two":
        yield "colour", {}, COLOURS[first.colour][language]
    if scene.kind != "glyph":
        yield "count", {}, str(len(scene.things))
    if scene.kind in ("one", "glyph"):
        yield "where", {}, PLACES[first.place][language]
        named = name(first, language)
        yield "name", {}, named if language == "zh" else article(named)
    yield "background", {}, BACKGROUNDS[scene.background][language]
    yield "describe", {}, sentence(scene, language)


def _of_two(scene: Scene, rng: Random, language: Language) -> Iterator[Asked]:
    """Yield what is asked about one of two things, each time another one."""
    for kind in ("colour of", "shape of", "shape at", "colour at", "where of"):
        thing = rng.choice(scene.things)
        answer = {"colour": COLOURS[thing.colour], "shape": SHAPES[thing.shape], "where": PLACES[thing.place]}
        yield kind, _names(thing.colour, thing.shape, language, thing.place), answer[kind.split()[0]][language]


def _has(scene: Scene, rng: Random, language: Language) -> Iterator[Asked]:
    """Yield what is asked about something that is there, or, as often, about something that is not."""
    colours, shapes = {thing.colour for thing in scene.things}, {thing.shape for thing in scene.things}
    there, thing = rng.random() < 0.5, rng.choice(scene.things)
    shape = thing.shape if there else rng.choice([one for one in SHAPES if one not in shapes])
    yield "has shape", _names(thing.colour, shape, language), (YES if there else NO)[language]
    there, thing = rng.random() < 0.5, rng.choice(scene.things)
    colour = thing.colour if there else rng.choice([one for one in COLOURS if one not in colours])
    yield "has colour", _names(colour, thing.shape, language), (YES if there else NO)[language]
    there, thing = rng.random() < 0.5, rng.choice(scene.things)
    both = (thing.colour, thing.shape)
    if not there:
        own = {(one.colour, one.shape) for one in scene.things}
        near = [(colour, shape) for colour in COLOURS for shape in SHAPES if colour in colours or shape in shapes]
        both = rng.choice([pair for pair in near if pair not in own])
    yield "has both", _names(*both, language), (YES if there else NO)[language]


def _names(colour: str, shape: str, language: Language, place: str = "") -> dict[str, str]:
    return {
        "colour": COLOURS[colour][language],
        "shape": SHAPES[shape][language],
        "place": PLACES[place]["zh"] if place else "",
        "at": AT.get(place, ""),
        "a_shape": article(shape),
        "a_both": article(f"{colour} {shape}"),
    }


def _worded(kind: str, language: Language, rng: Random, named: dict[str, str]) -> str:
    return rng.choice(WORDINGS[kind][language]).format(**named)
