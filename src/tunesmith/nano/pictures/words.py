"""What the drawn pictures show, and its names in Chinese and English."""

from __future__ import annotations

from typing import Literal

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
Names = dict[str, dict[Language, str]]

SHAPES: Names = {
    "circle": {"zh": "圆形", "en": "circle"},
    "square": {"zh": "正方形", "en": "square"},
    "triangle": {"zh": "三角形", "en": "triangle"},
    "star": {"zh": "五角星", "en": "star"},
    "cross": {"zh": "十字", "en": "cross"},
    "ring": {"zh": "圆环", "en": "ring"},
}
COLOURS: Names = {
    "red": {"zh": "红色", "en": "red"},
    "orange": {"zh": "橙色", "en": "orange"},
    "yellow": {"zh": "黄色", "en": "yellow"},
    "green": {"zh": "绿色", "en": "green"},
    "blue": {"zh": "蓝色", "en": "blue"},
    "purple": {"zh": "紫色", "en": "purple"},
    "black": {"zh": "黑色", "en": "black"},
    "white": {"zh": "白色", "en": "white"},
}
BACKGROUNDS: Names = {
    "grey": {"zh": "灰色", "en": "grey"},
    "beige": {"zh": "米色", "en": "beige"},
    "light blue": {"zh": "浅蓝色", "en": "light blue"},
    "pink": {"zh": "粉色", "en": "pink"},
}
PLACES: Names = {
    "left": {"zh": "左边", "en": "left"},
    "right": {"zh": "右边", "en": "right"},
    "top": {"zh": "上边", "en": "top"},
    "bottom": {"zh": "下边", "en": "bottom"},
    "centre": {"zh": "中间", "en": "centre"},
}
AT = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "centre": "in the centre",
}
"""A place as English says where something is."""
NUMBERS: dict[int, dict[Language, str]] = {
    2: {"zh": "两", "en": "two"},
    3: {"zh": "三", "en": "three"},
    4: {"zh": "四", "en": "four"},
    5: {"zh": "五", "en": "five"},
}
"""Numbers as they stand in sentences."""


def article(name: str) -> str:
    """Return an English name with its article: "a circle", "an orange star"."""
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def plural(shape: str) -> str:
    """Return the English plural of a shape."""
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"
