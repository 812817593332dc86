"""Heat maps laid over pictures, with a caption, the score and a colour bar."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
_COLOURS = cv2.COLORMAP_INFERNO
_LEAST_WIDTH, _MOST_WIDTH, _MARGIN, _HEAD, _FOOT = 640, 1280, 14, 62, 58
_BAR = (240, 12)
_INK, _PALE = (40, 40, 40), (110, 110, 110)


def captioned(
    title: str,
    score: float,
    scale: str,
    pictures: Sequence[Pixels],
    heats: Sequence[NDArray[np.floating]],
    labels: Sequence[str] | None = None,
) -> Pixels:
    """A row of pictures; below each the same picture in grey under its heat map; a caption above, a colour bar below.

    The colours always span 0 to 1, so that the map of a clean picture stays dark.

    Args:
        title: which detector, and what it looks for.
        score: the detector's, 0 to 1.
        scale: what the colours mean.
        pictures: uint8 ``(H, W, 3)`` RGB, all of one size.
        heats: ``(H, W)`` one for each picture, clipped to 0 to 1.
        labels: a short line under each.

    Returns:
        uint8 ``(H', W', 3)`` RGB, 640 to about 1,300 pixels wide.
    """
    height, width = pictures[0].shape[:2]
    whole = width * len(pictures)
    grown = min(max(1.0, (_LEAST_WIDTH - 2 * _MARGIN) / whole), _MOST_WIDTH / whole)
    # tall pictures stand beside their maps rather than above them
    beside = len(pictures) == 1 and height > 0.7 * width
    if beside:
        grown = min(max(1.0, _LEAST_WIDTH / 2 / width), _MOST_WIDTH / 2 / width)
    size = (max(1, round(width * grown)), max(1, round(height * grown)))
    tiles = []
    for picture, heat in zip(pictures, heats, strict=True):
        shown, laid = _sized(picture, size), _sized(_laid(picture, heat), size)
        tiles.append(np.hstack([shown, laid]) if beside else np.vstack([shown, laid]))
    row = np.hstack(tiles)
    note = 18 if labels else 0
    across = max(row.shape[1] + 2 * _MARGIN, _LEAST_WIDTH)
    canvas = Image.new("RGB", (across, _HEAD + row.shape[0] + note + _FOOT), "white")
    left = (across - row.shape[1]) // 2
    canvas.paste(Image.fromarray(row), (left, _HEAD))
    pen = ImageDraw.Draw(canvas)
    small, large = (ImageFont.load_default(one) for one in (12, 15))
    pen.text((_MARGIN, 10), _fitting(pen, title, large, across - 2 * _MARGIN), fill=_INK, font=large)
    words = f"score {score:.2f} of 1 (0.5: fakes and real ones equally likely; no verdict)"
    pen.text((_MARGIN, 34), words, fill=_INK, font=small)
    for number, label in enumerate(labels or ()):
        middle = left + round((number + 0.5) * row.shape[1] / len(pictures))
        pen.text((middle, _HEAD + row.shape[0] + 4), label, fill=_INK, font=small, anchor="mt")
    _bar(canvas, pen, _HEAD + row.shape[0] + note + 10, scale, small)
    return np.asarray(canvas, np.uint8)


def coloured(values: NDArray[np.floating]) -> Pixels:
    """``(H, W)`` 0 to 1 as the bar's colours, uint8 ``(H, W, 3)`` RGB."""
    levels = np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, _COLOURS)[..., ::-1])


def _laid(picture: Pixels, heat: NDArray[np.floating]) -> Pixels:
    grey = np.repeat(picture.mean(2, keepdims=True), 3, 2)
    return np.clip(0.45 * grey + 0.65 * coloured(heat), 0, 255).astype(np.uint8)


def _sized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    how = cv2.INTER_AREA if size[0] < picture.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, size, interpolation=how), np.uint8)


def _bar(canvas: Image.Image, pen: ImageDraw.ImageDraw, top: int, words: str, font: object) -> None:
    width, height = _BAR
    ramp = coloured(np.repeat(np.linspace(0, 1, width)[None], height, 0))
    canvas.paste(Image.fromarray(ramp), (_MARGIN, top))
    for value in (0.0, 0.5, 1.0):
        x = _MARGIN + value * (width - 1)
        pen.line([(x, top + height), (x, top + height + 4)], fill=_PALE)
        anchor = {0.0: "lt", 1.0: "rt"}.get(value, "mt")
        pen.text((x, top + height + 6), f"{value:g}", fill=_INK, font=font, anchor=anchor)  # type: ignore[arg-type]
    room = canvas.width - 2 * _MARGIN - width - 12
    for number, line in enumerate(_wrapped(pen, words, font, room)):
        pen.text((_MARGIN + width + 12, top - 2 + 15 * number), line, fill=_INK, font=font)  # type: ignore[arg-type]


def _wrapped(pen: ImageDraw.ImageDraw, words: str, font: object, room: float) -> list[str]:
    lines = [""]
    for word in words.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and pen.textlength(longer, font=font) > room:  # type: ignore[arg-type]
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _fitting(pen: ImageDraw.ImageDraw, text: str, font: object, room: float) -> str:
    while text and pen.textlength(text, font=font) > room:  # type: ignore[arg-type]
        text = text[:-2].rstrip() + "…"
    return text
