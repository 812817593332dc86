"""Cloaks: portraits a second, one after another, in float32 and in bfloat16; noise and film."""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.gpu.common import forget_memory, peak_memory, synchronise
from cloak.options import CloakOptions
from cloak.picture.pipeline import cloak_bytes
from provenance.errors import NoFaceError
from provenance.media.picture import open_picture


def measured(_: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Pictures a second by veil and precision."""
    encoded = portrait()
    if encoded is None:
        return {"lacks": "a portrait: scikit-image, or footage (VEILMARK_TEST_DATA)"}
    picture = open_picture(encoded)
    found: dict[str, Any] = {}
    count = 1 if asked.dry_run else 8
    for veil in ("noise", "film"):
        for bf16 in (False, True):
            options = CloakOptions(
                veil=veil, judges=(), weights=asked.weights, device=asked.device, bf16=bf16,
                detectors=("blazeface-back",) if asked.dry_run else None,
                steps=2 if asked.dry_run else 60, rounds=1 if asked.dry_run else 3,
            )  # fmt: skip
            forget_memory(asked.device)
            try:
                cloak_bytes(picture, options)  # loads networks
                synchronise(asked.device)
                began = time.perf_counter()
                for _turn in range(count):
                    cloak_bytes(picture, options)
                synchronise(asked.device)
            except NoFaceError as error:
                return {"lacks": str(error)}
            took = (time.perf_counter() - began) / count
            label = f"{veil} {'bf16' if bf16 else 'fp32'}"
            found[label] = {"pictures/s": round(1 / took, 4), "peak bytes": peak_memory(asked.device)}
    return found


def portrait(side: int = 320) -> bytes | None:
    """A JPEG of a face: scikit-image's public-domain portrait, else the first frame of the footage."""
    try:
        import skimage.data

        pixels = np.asarray(skimage.data.astronaut())
    except ImportError:
        import os

        from synth.extraction.footage import open_footage

        clip = Path(os.environ.get("VEILMARK_TEST_DATA", "")) / "media" / "talking" / "model1.mp4"
        if not clip.is_file():
            return None
        pixels = next(open_footage(clip)[0].frames()).pixels
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side) if max(picture.size) < 1000 else (2 * side, 2 * side))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=95)
    return stream.getvalue()
