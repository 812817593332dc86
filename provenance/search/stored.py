"""What is kept of a record's fingerprint, read: values of unexpected type or version are passed over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provenance.errors import ReceiptError
from provenance.fingerprint.features import LocalFeatures
from provenance.fingerprint.pdq import MIN_QUALITY
from provenance.fingerprint.sound import SoundFingerprint
from provenance.fingerprint.video import VideoFingerprint
from provenance.search.hash_index import CODE_BYTES
from provenance.search.index_store import parts_of

_HEX = frozenset("0123456789abcdef")


def kind_of(fingerprints: Mapping[str, Any]) -> str:
    """``picture``, ``video``, ``sound`` or ``none``."""
    kind = fingerprints.get("kind")
    return kind if kind in ("picture", "video", "sound") else "none"


def pixels_of(fingerprints: Mapping[str, Any]) -> str | None:
    """SHA-256 of the pixels, where the record has one."""
    digest = fingerprints.get("pixels_sha256")
    return digest if isinstance(digest, str) and len(digest) == 64 else None


def codes_of(fingerprints: Mapping[str, Any], blob: bytes | None) -> list[tuple[int, bytes]]:
    """``(time in ms, code)``: a video's landmarks, or a picture's hash."""
    video = parsed_video(blob) if kind_of(fingerprints) == "video" else None
    if video:
        return video.landmarks()
    code, quality = fingerprints.get("pdq"), fingerprints.get("pdq_quality")
    if not isinstance(code, str) or len(code) != 2 * CODE_BYTES or not _HEX.issuperset(code):
        return []
    # the hash of a flat picture fits too many others
    return [(0, bytes.fromhex(code))] if isinstance(quality, int) and quality >= MIN_QUALITY else []


def parsed_video(blob: bytes | None) -> VideoFingerprint | None:
    """A video's fingerprint; None for that of another kind."""
    try:
        return VideoFingerprint.from_blob(blob) if blob else None
    except ReceiptError:
        return None


def parsed_sound(blob: bytes, kind: str) -> SoundFingerprint | None:
    """A sound's fingerprint, or that of a video's sound."""
    if kind == "video":
        video = parsed_video(blob)
        return video.sound if video else None
    try:
        return SoundFingerprint.from_blob(blob)
    except ReceiptError:
        return None


def part_of(blob: bytes | None, part: int) -> LocalFeatures | None:
    """The features of a picture, or of one still of a video."""
    try:
        parts = parts_of(blob) if blob else []
    except ReceiptError:
        return None
    return parts[part] if part < len(parts) else None
