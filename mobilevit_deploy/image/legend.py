"""A legend below a picture, or beside a tall one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageDraw, ImageFont

_LINES_PER_EDGE = 36
"""A picture whose longer edge fills a phone's screen has letters of some 11 points."""

_LONGEST_NAME, _LONGEST_OF_MANY, _MANY = 16, 10, 12
"""In sizes of a letter; a longer name ends in dots. Many names are cut such that two columns fit."""

_TALL = 1.3
_PAPER, _INK, _FAINT = (255, 255, 255), (32, 32, 32), (110, 110, 110)


@dataclass(frozen=True)
class Entry:
    """One line: a swatch, which is hollow without a colour, a name, and a number at the right."""

    name: str
    colour: tuple[int, int, int] | None
    share: str


@dataclass(frozen=True)
class _Style:
    """Lengths in pixels, all from the size of the letters."""

    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    letter: int

    @property
    def line(self) -> int:
        return round(1.6 * self.letter)

    @property
    def margin(self) -> int:
        return round(0.8 * self.letter)

    def width(self, entries: Sequence[Entry]) -> int:
        """Of a column: swatch, longest name, widest number, and the gaps between them."""
        names = max(self.font.getlength(entry.name) for entry in entries)
        shares = max(self.font.getlength(entry.share) for entry in entries)
        return round(1.5 * self.letter + names + self.letter + shares)


def with_legend(picture: Image.Image, entries: Sequence[Entry]) -> Image.Image:
    """Put ``entries`` beside a picture much taller than wide, if they fit there, and else below it.

    Below, they stand in as many columns as fit, and a picture narrower than one column is centred.
    """
    letter = max(10, round(max(picture.size) / _LINES_PER_EDGE))
    style = _Style(ImageFont.load_default(letter), letter)
    longest = letter * (_LONGEST_NAME if len(entries) <= _MANY else _LONGEST_OF_MANY)
    entries = [replace(entry, name=_shortened(entry.name, style, longest)) for entry in entries]
    column = style.width(entries)
    height = len(entries) * style.line + 2 * style.margin
    if picture.height > _TALL * picture.width and height <= picture.height:
        canvas = Image.new("RGB", (picture.width + column + 2 * style.margin, picture.height), _PAPER)
        canvas.paste(picture)
        _draw(canvas, entries, style, (picture.width + style.margin, style.margin), column, len(entries))
        return canvas
    width = max(picture.width, column + 2 * style.margin)
    columns = min(len(entries), width // (column + 2 * style.margin))
    rows = math.ceil(len(entries) / columns)
    canvas = Image.new("RGB", (width, picture.height + rows * style.line + 2 * style.margin), _PAPER)
    canvas.paste(picture, ((width - picture.width) // 2, 0))
    _draw(canvas, entries, style, (style.margin, picture.height + style.margin), column, rows)
    return canvas


def _draw(
    canvas: Image.Image,
    entries: Sequence[Entry],
    style: _Style,
    origin: tuple[int, int],
    column: int,
    rows: int,
) -> None:
    """Write entries downwards from ``origin``, ``rows`` to a column."""
    draw = ImageDraw.Draw(canvas)
    for position, entry in enumerate(entries):
        left = origin[0] + position // rows * (column + 2 * style.margin)
        middle = origin[1] + position % rows * style.line + style.line // 2
        half = style.letter // 2
        draw.rounded_rectangle(
            (left, middle - half, left + 2 * half, middle + half),
            radius=max(1, style.letter // 6),
            fill=entry.colour,
            outline=_FAINT,
            width=max(1, style.letter // 16),
        )
        draw.text((left + 1.5 * style.letter, middle), entry.name, _INK, style.font, anchor="lm")
        draw.text((left + column, middle), entry.share, _FAINT, style.font, anchor="rm")


def _shortened(name: str, style: _Style, longest: int) -> str:
    """Cut a name to ``longest`` pixels; line breaks become spaces."""
    name = " ".join(name.split())[:200]  # whole paragraphs take long to measure
    if style.font.getlength(name) <= longest:
        return name
    while style.font.getlength(name + "...") > longest:
        name = name[:-1]
    return name.rstrip() + "..."
