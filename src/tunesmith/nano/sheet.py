"""The sheet of the vision demo: held-out pictures with what was asked, wanted, and answered before and after learning.

Drawn with Pillow and the letters it brings along, which are Latin: the sheet shows questions in English.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from .before_after import Row

WIDTH = 1200
COLUMNS = 4
MARGIN, GAP, PADDING = 32, 20, 16
PICTURE = (236, 154)
"""The box that a picture is enlarged to fit."""
CELL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS, 372
HEADER = 128
LINE, INDENT, ANSWER_LINES = 24, 88, 2
INK, SOFT, RIGHT, WRONG = (28, 32, 38), (98, 106, 116), (17, 112, 60), (178, 38, 30)
PAPER, CARD, EDGE = (244, 245, 247), (255, 255, 255), (216, 220, 226)
OTHER_LETTERS = "(not in Latin letters)"
"""Stands for an answer that the sheet's letters cannot show; report.json holds it."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Seen(Row):
    """A held-out question with its answers, and the picture it is about."""

    image: str


def sheet(rows: Sequence[Seen], title: str, result: str) -> Image.Image:
    """Return the sheet: a heading, the result in one line, what the marks mean, and a card for each row."""
    lines = -(-len(rows) // COLUMNS)
    height = HEADER + lines * (CELL[1] + GAP) - GAP + MARGIN
    page = Image.new("RGB", (WIDTH, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, 26), title, INK, _font(30))
    draw.text((MARGIN, 72), result, SOFT, _font(19))
    x = WIDTH - MARGIN
    for right, name in ((False, "wrong"), (True, "right")):
        x -= round(draw.textlength(name, _font(19)))
        draw.text((x, 72), name, SOFT, _font(19))
        x -= 30
        _mark(draw, (x, 73), right)
        x -= 24
    for number, row in enumerate(rows):
        line, column = divmod(number, COLUMNS)
        _card(page, (MARGIN + column * (CELL[0] + GAP), HEADER + line * (CELL[1] + GAP)), row)
    return page


def readable(text: str) -> str:
    """Return a text in one line, as the sheet can show it."""
    text = " ".join(text.split())
    if not text:
        return "(nothing)"
    return text if all(" " <= letter < "\u0180" for letter in text) else OTHER_LETTERS


def wrapped(text: str, width: float, size: int, lines: int) -> list[str]:
    """Return a text in at most so many lines of `width` pixels; what does not fit ends in dots."""
    font, found, rest = _font(size), [""], text.split(" ")
    while rest:
        word = rest.pop(0)
        longer = f"{found[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            found[-1] = longer
        elif found[-1] and len(found) < lines:
            found.append("")
            rest.insert(0, word)
        else:  # the last line is full, or one word is too long for any line
            whole = found[-1] or longer
            while whole and font.getlength(f"{whole} ...") > width:
                whole = whole.rpartition(" ")[0] or whole[:-1]
            found[-1] = f"{whole} ..."
            break
    return found


def _card(page: Image.Image, corner: tuple[int, int], row: Seen) -> None:
    """Draw one card: the picture, the question, the wanted answer, and both answers with their marks."""
    draw, (left, top) = ImageDraw.Draw(page), corner
    draw.rounded_rectangle((left, top, left + CELL[0], top + CELL[1]), 10, CARD, EDGE)
    picture = _enlarged(Path(row.image))
    x = left + (CELL[0] - picture.width) // 2
    y = top + PADDING + (PICTURE[1] - picture.height) // 2
    page.paste(picture, (x, y))
    draw.rectangle((x - 1, y - 1, x + picture.width, y + picture.height), outline=EDGE)
    left, y, width = left + PADDING, top + PADDING + PICTURE[1] + 12, CELL[0] - 2 * PADDING
    draw.text((left, y), wrapped(readable(row.question), width, 18, 1)[0], INK, _font(18))
    y += LINE + 6
    draw.text((left, y + 1), "wanted", SOFT, _font(16))
    draw.text((left + INDENT, y), wrapped(readable(row.expected), width - INDENT, 18, 1)[0], INK, _font(18))
    y += LINE + 6
    for name, answer, right in (("before", row.before, row.right_before), ("after", row.after, row.right_after)):
        draw.text((left, y + 1), name, SOFT, _font(16))
        _mark(draw, (left + INDENT - 26, y + 1), right)
        for number, line in enumerate(wrapped(readable(answer), width - INDENT, 18, ANSWER_LINES)):
            draw.text((left + INDENT, y + number * LINE), line, RIGHT if right else WRONG, _font(18))
        y += ANSWER_LINES * LINE + 8


def _enlarged(path: Path) -> Image.Image:
    """Return a picture as large as its box allows; its pixels stay squares, as the model sees them."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    factor = min(PICTURE[0] / picture.width, PICTURE[1] / picture.height)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST)


def _mark(draw: ImageDraw.ImageDraw, corner: tuple[int, int], right: bool) -> None:
    """Draw a tick in a filled disc, or a cross in an empty ring: told apart without colours too."""
    x, y = corner
    box = (x, y, x + 19, y + 19)
    if right:
        draw.ellipse(box, RIGHT)
        draw.line([(x + 5, y + 10), (x + 8, y + 14), (x + 14, y + 6)], CARD, 2, joint="curve")
    else:
        draw.ellipse(box, CARD, WRONG, 2)
        draw.line([(x + 6, y + 6), (x + 13, y + 13)], WRONG, 2)
        draw.line([(x + 13, y + 6), (x + 6, y + 13)], WRONG, 2)


def _font(size: int) -> Font:
    return ImageFont.load_default(size)
