"""Pictures for a report: what was changed, how much, and where detectors see a face."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from synth.measure.conditions import NOISE
from synth.measure.wording import control_words
from synth.report.document import Gallery, Shot

Pixels = NDArray[np.uint8]
#: Longer side of what is shown, and by how much differences are amplified.
SIDE, GAIN = 720, 8
_FACE, _REPORT = (40, 170, 90), (226, 88, 34)
_QUALITY = 82


def gallery(
    row: dict[str, Any], clean: Pixels, version: str, versions: Mapping[str, Pixels], control: str | None
) -> Gallery:
    """Original and cloaked (to be compared by a slider), the amplified difference, the control, and both with boxes.

    Args:
        row: what detectors saw, of :func:`synth.measure.detectors.observations.detect_under_conditions`.
        clean, versions: uint8 ``(H, W, 3)`` of one size.
    """
    cloaked = versions[version]
    label = "cloaked" if version == "cloaked" else f"cloaked at {version}"
    plain = versions[control] if control else None
    shots = comparison(clean, cloaked, plain, "original", label, control_words(control or NOISE))
    for name, pixels, title in (("clean", clean, "original"), (version, cloaked, label)):
        boxes = row["boxes"][name]
        hits = sum(len(found) for found in boxes.values())
        shots.append(
            Shot(
                f"{title}: {hits} reports of {len(boxes)} detectors",
                jpeg(marked(pixels, row["faces"], boxes)),
            )
        )
    return Gallery(
        f"{row['name']}, {label}",
        tuple(shots),
        slider=True,
        note="Green, dashed: faces that were counted. Orange: what detectors report.",
    )


def comparison(
    clean: Pixels,
    cloaked: Pixels,
    control: Pixels | None,
    clean_label: str,
    cloaked_label: str,
    control_label: str,
) -> list[Shot]:
    """Clean and cloaked, the amplified difference, and the control where there is one."""
    shots = [
        Shot(clean_label, jpeg(shrunk(clean))),
        Shot(cloaked_label, jpeg(shrunk(cloaked))),
        Shot(f"what was changed, {GAIN} times (grey: nothing)", jpeg(shrunk(amplified(clean, cloaked)))),
    ]
    if control is not None:
        shots.append(Shot(control_label, jpeg(shrunk(control))))
    return shots


def in_rows(tiles: Sequence[Pixels], columns: int = 3) -> Pixels:
    """Pictures ``(H, W, 3)`` of one size in rows; the last row is filled up with black."""
    filled = [*tiles, *[np.zeros_like(tiles[0])] * (-len(tiles) % columns)]
    return np.vstack([np.hstack(filled[at : at + columns]) for at in range(0, len(filled), columns)])


def amplified(first: Pixels, second: Pixels, gain: int = GAIN) -> Pixels:
    """The difference on middle grey, ``gain`` times as large."""
    change = (second.astype(np.int16) - first) * gain + 128
    return np.asarray(np.clip(change, 0, 255), np.uint8)


def marked(
    pixels: Pixels, faces: Sequence[Sequence[float]], boxes: Mapping[str, Sequence[Sequence[float]]]
) -> Pixels:
    """A shrunk copy with the faces (dashed) and every detector's reports."""
    small = shrunk(pixels).copy()
    scale = small.shape[1] / pixels.shape[1]
    for found in boxes.values():
        for box in found:
            left, top, right, bottom = (round(side * scale) for side in box)
            cv2.rectangle(small, (left, top), (right, bottom), _REPORT, 2, cv2.LINE_AA)
    for face in faces:
        _dashed(small, [round(side * scale) for side in face])
    return small


def shrunk(pixels: Pixels, side: int = SIDE) -> Pixels:
    """The longer side at most ``side`` pixels."""
    scale = min(1.0, side / max(pixels.shape[:2]))
    if scale == 1.0:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def jpeg(pixels: Pixels, quality: int = _QUALITY) -> bytes:
    """Encoded anew, so that nothing of a file's own bytes reaches a page."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    return bytes(data.tobytes())


def _dashed(pixels: Pixels, box: Sequence[int], dash: int = 7) -> None:
    left, top, right, bottom = box
    for x in range(left, right, 2 * dash):
        for y in (top, bottom):
            cv2.line(pixels, (x, y), (min(x + dash, right), y), _FACE, 2, cv2.LINE_AA)
    for y in range(top, bottom, 2 * dash):
        for x in (left, right):
            cv2.line(pixels, (x, y), (x, min(y + dash, bottom)), _FACE, 2, cv2.LINE_AA)
