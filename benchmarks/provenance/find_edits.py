"""What happens to a published picture: the edits that `benchmarks/provenance/find.py` and the tests look it up
after."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

#: None where the edit does not apply to the picture.
Edit = Callable[[np.ndarray, np.random.Generator], np.ndarray | None]


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def stretched(pixels: np.ndarray, wider: float, higher: float) -> np.ndarray:
    """To another shape, as a page or a messenger does that knows only one; published as JPEG."""
    height, width = pixels.shape[:2]
    size = (max(1, round(width * wider)), max(1, round(height * higher)))
    return jpeg(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), 85)


def letterboxed(pixels: np.ndarray) -> np.ndarray:
    """Whole, between black bars, in a frame of 9 by 16 (of 16 by 9 where it is high already)."""
    height, width = pixels.shape[:2]
    wide, high = (9, 16) if width > 9 / 16 * height * 1.05 else (16, 9)
    frame = (max(width, -(-height * wide // high)), max(height, -(-width * high // wide)))
    left, top = (frame[0] - width) // 2, (frame[1] - height) // 2
    boxed = np.zeros((frame[1], frame[0], 3), np.uint8)
    boxed[top : top + height, left : left + width] = pixels
    return jpeg(boxed, 85)


def cropped(pixels: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """Width and height each lose ``share``; the place is random."""
    height, width = pixels.shape[:2]
    rows, columns = round(height * (1 - share)), round(width * (1 - share))
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    return np.ascontiguousarray(pixels[top : top + rows, left : left + columns])


def rotated(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Onto a black canvas that holds the whole picture."""
    height, width = pixels.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    cosine, sine = abs(matrix[0, 0]), abs(matrix[0, 1])
    size = (int(height * sine + width * cosine), int(height * cosine + width * sine))
    matrix[:, 2] += (size[0] / 2 - width / 2, size[1] / 2 - height / 2)
    return cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR)


def turned(pixels: np.ndarray, quarters: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(pixels, quarters))


def mirrored(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels[:, ::-1])


def with_logo(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """An opaque logo over 15 % of the area, anywhere."""
    height, width = pixels.shape[:2]
    rows, columns = round(height * 0.15**0.5), round(width * 0.15**0.5)
    logo = np.full((rows, columns, 3), (200, 30, 40), np.uint8)
    cv2.circle(logo, (columns // 2, rows // 2), min(rows, columns) // 3, (255, 255, 255), -1)
    place = (columns // 10, rows // 2)
    cv2.putText(logo, "NEWS", place, cv2.FONT_HERSHEY_DUPLEX, columns / 150, (10, 10, 80), 2)
    top, left = random.integers(0, height - rows + 1), random.integers(0, width - columns + 1)
    result = pixels.copy()
    result[top : top + rows, left : left + columns] = logo
    return result


def with_border(pixels: np.ndarray) -> np.ndarray:
    margin = round(0.1 * max(pixels.shape[:2]))
    return cv2.copyMakeBorder(
        pixels, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )


def screenshot(pixels: np.ndarray) -> np.ndarray:
    """The picture on a 1280 x 800 page with text and a bar."""
    height, width = pixels.shape[:2]
    shown = resized(pixels, min(0.8 * 1280 / width, 0.8 * 720 / height))
    page = np.full((800, 1280, 3), (32, 34, 40), np.uint8)
    page[:40] = (222, 225, 230)
    font = cv2.FONT_HERSHEY_SIMPLEX
    for line in range(12):
        text = f"Lorem ipsum dolor sit amet {line}"
        cv2.putText(page, text, (20, 90 + line * 55), font, 0.5, (200, 200, 210), 1, cv2.LINE_AA)
    cv2.putText(page, "https://example.org/news/article", (60, 26), font, 0.5, (40, 40, 40), 1, cv2.LINE_AA)
    left = 1280 - shown.shape[1] - 20
    page[60 : 60 + shown.shape[0], left : left + shown.shape[1]] = shown
    return page


def recoloured(pixels: np.ndarray) -> np.ndarray:
    """Hue, saturation, gamma and brightness moved, as a filter app does."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + 12) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.4, 0, 255)
    rgb = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    changed: np.ndarray = np.clip((rgb / 255.0) ** 0.75 * 255 * 1.05 + 8, 0, 255).astype(np.uint8)
    return changed


def grey(pixels: np.ndarray) -> np.ndarray:
    """Black and white, with more contrast."""
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.repeat(np.clip((luma - 128) * 1.3 + 118, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def noisy(pixels: np.ndarray, random: np.random.Generator, block: int = 1) -> np.ndarray:
    """Every channel of every block of pixels moved by 12 levels up or down: the whole budget of a cloak."""
    height, width = pixels.shape[:2]
    signs = random.choice([-12, 12], (-(-height // block), -(-width // block), 3)).astype(np.int16)
    signs = np.repeat(np.repeat(signs, block, axis=0), block, axis=1)[:height, :width]
    changed: np.ndarray = np.clip(pixels.astype(np.int16) + signs, 0, 255).astype(np.uint8)
    return changed


def own_cloak(pixels: np.ndarray) -> np.ndarray | None:
    """veilmark's own cloak at its strongest, published as JPEG; None where there is no face to cloak.

    One detector and a few steps: the search fills its budget at once, and what hides the picture from a look-up
    is how strong the noise is, not whom it fools.
    """
    from cloak.options import CloakOptions
    from cloak.picture.pipeline import cloak_bytes
    from provenance.errors import NoFaceError
    from provenance.media.picture import open_picture

    packed = io.BytesIO()
    Image.fromarray(pixels).save(packed, "PNG")
    options = CloakOptions(
        strength="high", detectors=("centerface",), judges=(), steps=10, rounds=1, format="JPEG", quality=90
    )
    try:
        result = cloak_bytes(open_picture(packed.getvalue()), options)
    except NoFaceError:
        return None
    return np.asarray(Image.open(io.BytesIO(result.encoded)).convert("RGB"))


EDITS: dict[str, Edit] = {
    "JPEG q50": lambda p, r: jpeg(p, 50),
    "JPEG q10": lambda p, r: jpeg(p, 10),
    "resize 0.25": lambda p, r: resized(p, 0.25),
    "resize 0.5": lambda p, r: resized(p, 0.5),
    "resize 2": lambda p, r: resized(p, 2),
    "crop 5 %": lambda p, r: cropped(p, 0.05, r),
    "crop 15 %": lambda p, r: cropped(p, 0.15, r),
    "crop 30 %": lambda p, r: cropped(p, 0.30, r),
    "rotate 2": lambda p, r: rotated(p, 2),
    "rotate 15": lambda p, r: rotated(p, -15),
    "mirror": lambda p, r: mirrored(p),
    "turn 90": lambda p, r: turned(p, 1),
    "turn 180": lambda p, r: turned(p, 2),
    "turn 270": lambda p, r: turned(p, 3),
    "logo 15 %": with_logo,
    "border": lambda p, r: with_border(p),
    "screenshot": lambda p, r: screenshot(p),
    "colour": lambda p, r: recoloured(p),
    "black and white": lambda p, r: grey(p),
    "noise 12/255": lambda p, r: noisy(p, r),
    "coarse noise 12/255": lambda p, r: noisy(p, r, 4),
    "own cloak (high)": lambda p, r: own_cloak(p),
    "mirror, crop 20 %, q30": lambda p, r: jpeg(mirrored(cropped(p, 0.2, r)), 30),
    "rotate 5, half, q40": lambda p, r: jpeg(resized(rotated(p, 5), 0.5), 40),
    "stretch 0.75 wide": lambda p, r: stretched(p, 0.75, 1),
    "stretch 1.33 wide": lambda p, r: stretched(p, 1.33, 1),
    "stretch 1.5 wide": lambda p, r: stretched(p, 1.5, 1),
    "stretch 0.75 high": lambda p, r: stretched(p, 1, 0.75),
    "stretch 1.3 high": lambda p, r: stretched(p, 1, 1.3),
    "stretch 1.5 high": lambda p, r: stretched(p, 1, 1.5),
    "mirror, stretch 1.4 wide": lambda p, r: stretched(mirrored(p), 1.4, 1),
    "turn 90, stretch 1.4 wide": lambda p, r: stretched(turned(p, 1), 1.4, 1),
    "letterbox 9:16": lambda p, r: letterboxed(p),
    "letterbox, stretch 1.3": lambda p, r: letterboxed(stretched(p, 1.3, 1)),
    "turn 90, crop 25 %": lambda p, r: turned(cropped(p, 0.25, r), 1),
}

_SKIMAGE = (
    *(
        "astronaut.png",
        "coffee.png",
        "chelsea.png",
        "rocket.jpg",
        "motorcycle_left.png",
        "camera.png",
        "coins.png",
    ),
    *("hubble_deep_field.jpg", "brick.png", "grass.png", "gravel.png", "ihc.png", "retina.jpg", "moon.png"),
)


def pictures() -> Iterator[tuple[str, np.ndarray]]:
    """Different real pictures, uint8 RGB: two packages' samples and, where there is one, the test media."""
    import matplotlib.cbook
    import skimage.data

    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:  # type: ignore[union-attr]
        yield "grace_hopper.jpg", np.asarray(Image.open(stream).convert("RGB"))
    for name in _SKIMAGE:
        path = Path(skimage.data.__path__[0]) / name
        if path.is_file():
            yield name, np.asarray(Image.open(path).convert("RGB"))
    media = os.environ.get("VEILMARK_TEST_DATA")
    if not media:
        return
    bridge = Path(media) / "vectors/pdq/pdq/data/bridge-mods/aaa-orig.jpg"
    for path in [bridge, *sorted(Path(media).glob("media/stills/*.jpg"))]:
        yield path.name, np.asarray(Image.open(path).convert("RGB"))
    for path in sorted(Path(media).glob("media/*/*.mp4")):
        clip = cv2.VideoCapture(str(path))
        clip.set(cv2.CAP_PROP_POS_FRAMES, 40)
        read, frame = clip.read()
        if read:
            yield path.name, cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
