"""What a file looks or sounds like: fingerprints that survive re-encoding, for the record and for look-ups.

A fingerprint has two parts. :meth:`~Fingerprint.to_record` gives the few values that go into the (salted, so
private) ledger record and the manifest's soft binding. :meth:`~Fingerprint.to_blob` gives the bytes that stay
with the ledger's keeper and let :mod:`provenance.search.similar` find an altered copy and confirm it by geometry.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from provenance.errors import UnknownFormatError
from provenance.fingerprint.features import WORKING_SIDE, at_working_size, extract_features
from provenance.fingerprint.pdq import MIN_QUALITY, pdq_variants
from provenance.lazy import unlocked_property

if TYPE_CHECKING:
    from provenance.fingerprint.features import LocalFeatures
    from provenance.media.formats import Format
    from provenance.media.media_file import MediaFile

_PIXELS_CONTEXT = b"veilmark pixels v1\x00"


class Fingerprint(Protocol):
    """What every kind of fingerprint offers."""

    @property
    def kind(self) -> str:
        """``picture``, ``video``, ``sound`` or ``none``."""
        ...

    def to_record(self) -> dict[str, int | str]:
        """Values for :attr:`provenance.record.Record.fingerprints`; no floats."""
        ...

    def to_blob(self) -> bytes:
        """Private bytes for look-ups, versioned; empty where there is nothing to look up by."""
        ...


@dataclass(frozen=True)
class NoFingerprint:
    """For files that only their SHA-256 can identify."""

    kind: str = "none"

    def to_record(self) -> dict[str, int | str]:
        return {}

    def to_blob(self) -> bytes:
        return b""


@dataclass(frozen=True)
class PictureFingerprint:
    """A picture's fingerprint.

    Attributes:
        variants: ``(8, 32)`` uint8, PDQ hashes in the order of :data:`provenance.fingerprint.pdq.VARIANTS`.
        pdq_quality: 0 (flat) to 100.
        pixels_sha256: hex SHA-256 over size and all decoded RGB bytes, or None where they were not
            decoded. It is the same for a lossless copy and depends on the decoder for lossy formats.
        grey: ``(h, w)`` uint8, the picture at working size, from which features are read.
    """

    variants: NDArray[np.uint8]
    pdq_quality: int
    pixels_sha256: str | None
    grey: NDArray[np.uint8] = field(repr=False)
    kind: str = "picture"

    @unlocked_property
    def features(self) -> LocalFeatures:
        """Local features for look-ups by part and after edits; read when first asked for."""
        return extract_features(self.grey)

    @property
    def pdq(self) -> bytes:
        """32 bytes, the hash of the upright picture."""
        return bytes(self.variants[0])

    @property
    def pdq_usable(self) -> bool:
        """Whether the picture has enough structure for its hash to identify it."""
        return self.pdq_quality >= MIN_QUALITY

    def to_record(self) -> dict[str, int | str]:
        values: dict[str, int | str] = {
            "kind": self.kind,
            "pdq": self.pdq.hex(),
            "pdq_quality": self.pdq_quality,
        }
        if self.pixels_sha256:
            values["pixels_sha256"] = self.pixels_sha256
        return values

    def to_blob(self) -> bytes:
        return self.features.to_bytes()


def fingerprint_picture(pixels: NDArray[np.uint8], *, exact_pixels: bool = True) -> PictureFingerprint:
    """Fingerprint decoded pixels.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB, upright.
        exact_pixels: also hash every pixel (about 1 ms per megapixel).

    Raises:
        ValueError: the array has another shape or type, or no pixels.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise ValueError(f"expected uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
    import cv2

    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    return _of_grey(grey, pixels_sha256(pixels) if exact_pixels else None)


def _of_grey(grey: NDArray[np.uint8], pixels: str | None) -> PictureFingerprint:
    grey = at_working_size(grey)
    variants, quality = pdq_variants(grey)
    return PictureFingerprint(variants=variants, pdq_quality=quality, pixels_sha256=pixels, grey=grey)


def fingerprint_file(file: MediaFile, *, exact_pixels: bool | None = None) -> Fingerprint:
    """Fingerprint a file of any kind.

    Of a JPEG only the brightness is decoded, at a reduced DCT scale: 12 megapixels take some 50 ms of processor time.

    Args:
        file: its decoded picture is kept for whoever needs it next.
        exact_pixels: for pictures, also hash every decoded pixel; None does so for all but JPEG, where it would
            cost a full decoding (some 300 ms for 12 megapixels).

    Returns:
        A fingerprint of the file's kind; :class:`NoFingerprint` where nothing here can decode the format.

    Raises:
        CorruptMediaError: the bytes cannot be decoded as what they claim to be.
        MediaTooLargeError: over the limits on dimensions.
    """
    if file.format.kind in ("video", "audio"):
        return _recording(file.path, file.format)
    if file.format.kind != "image":
        return NoFingerprint()
    if exact_pixels is None:
        exact_pixels = file.format.name != "JPEG"
    if not exact_pixels:
        luma = file.luma(reduce_to=WORKING_SIDE)
        if luma is not None:
            return _of_grey(luma, None)
    try:
        picture = file.picture(reduce_to=None if exact_pixels else WORKING_SIDE)
    except UnknownFormatError:
        return NoFingerprint()
    return fingerprint_picture(picture.pixels, exact_pixels=exact_pixels)


def _recording(path: Path, media: Format) -> Fingerprint:
    if importlib.util.find_spec("av") is None:
        return NoFingerprint()  # without PyAV nothing is decoded; the file's SHA-256 still identifies it
    from provenance.fingerprint.sound import fingerprint_sound
    from provenance.fingerprint.video import NoVideoTrackError, fingerprint_video

    if media.kind == "video":
        with contextlib.suppress(NoVideoTrackError):
            return fingerprint_video(path)
    return fingerprint_sound(path)


def pixels_sha256(pixels: NDArray[np.uint8]) -> str:
    """Hex SHA-256 over width, height (4 bytes each, big-endian) and the RGB bytes, row by row."""
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(_PIXELS_CONTEXT + width.to_bytes(4, "big") + height.to_bytes(4, "big"))
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()
