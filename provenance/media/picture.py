"""Open and save pictures, within limits, keeping what belongs to them and nothing that betrays.

Pictures come in upright, 8 bits a channel, in their own colour space. They go out with their ICC profile and
their EXIF, but without location (unless asked), maker notes, previews or thumbnails: a preview inside a
published picture would still show what the picture itself no longer does.
"""

from __future__ import annotations

import dataclasses
import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from provenance.errors import CorruptMediaError, MediaTooLargeError, UnknownFormatError, UsageError
from provenance.media.formats import Format, detect_format

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "Format",
    "Picture",
    "detect_format",
    "encode_picture",
    "open_luma",
    "open_picture",
    "tells_location",
]

#: Decoding needs about 7 bytes a pixel, so this stays below 1 GB.
DEFAULT_MAX_PIXELS = 120_000_000
MAX_PICTURE_BYTES = 1024 * 1024 * 1024
_MAX_EXIF_BYTES = 65_533 - 6
_MAX_ICC_BYTES = 4 * 1024 * 1024
_MAX_BINARY_TAG = 1024
_ORIENTATION = 0x0112
#: Directories and tags that may show the picture as it was, say where it was taken, or break when moved:
#: thumbnail and preview pointers, sub-images, XMP, IPTC, Photoshop resources, maker notes, print matching.
_DROPPED_TAGS = frozenset(
    {0x014A, 0x02BC, 0x83BB, 0x8649, 0x927C, 0xC4A5, 0xC634, 0xC68B, 0xEA1C, 0xA005}
    # how a TIFF stores its pixels, which is not how the new file does
    | {0x00FE, 0x00FF, 0x0106, 0x010A, 0x0111, 0x011C, 0x013D, 0x0152, 0x0153, 0x015B, 0x8773}
    | {*range(0x0100, 0x0104), *range(0x0115, 0x0118), *range(0x0140, 0x0146), *range(0x0200, 0x0215)}
)
_GPS = 0x8825
_EXIF = 0x8769
#: Only the decoder of the format that the bytes announce is ever asked. JPEG covers MPO.
_DECODERS = {"DNG": "TIFF", "HEIC": "HEIF"}
_CAN_WRITE = ("JPEG", "PNG", "WebP", "TIFF", "AVIF", "BMP")
_ALPHA_FORMATS = ("PNG", "WebP", "TIFF", "AVIF")
_limit_lock = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: uint8 ``(H, W, 3)`` RGB, upright (the EXIF orientation is applied).
        alpha: uint8 ``(H, W)``, or None where the picture is opaque.
        format: what it was decoded from.
        exif: the raw EXIF block without the ``Exif\\0\\0`` prefix, or None.
        icc: the ICC profile that ``pixels`` are in, or None (sRGB by convention).
        is_grey: the file had a single colour channel; ``pixels`` repeats it three times.
        frames: how many frames or pages the file holds; only the first is decoded.
    """

    pixels: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    format: Format
    exif: bytes | None = None
    icc: bytes | None = None
    is_grey: bool = False
    frames: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def with_pixels(self, pixels: NDArray[np.uint8]) -> Picture:
        """The same picture with other pixels; alpha stays only where the size is the same."""
        same = self.alpha is not None and self.alpha.shape == pixels.shape[:2]
        return dataclasses.replace(self, pixels=pixels, alpha=self.alpha if same else None)


def open_picture(
    source: Path | bytes,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    reduce_to: int | None = None,
    form: Format | None = None,
) -> Picture:
    """Decode the first frame of a picture.

    Args:
        max_pixels: refuse pictures with more, before decoding anything.
        reduce_to: a JPEG may be decoded at 1/2, 1/4 or 1/8 (DCT scaling) as long as its longer side stays at
            least this many pixels; for fingerprints. ``max_pixels`` then counts the decoded pixels.
        form: the format, where it is known already.

    Raises:
        UnknownFormatError: no picture format, or one that cannot be decoded here.
        CorruptMediaError: empty, truncated or damaged.
        MediaTooLargeError: over the limit on pixels or bytes.
        MissingPathError: the path names no file.
    """
    form = form or detect_format(source)
    shown = str(source) if isinstance(source, Path) else "the input"
    if form.kind != "image":
        known = f"{shown} is {form.name}, a picture was expected"
        raise UnknownFormatError(known, hint="name a picture, or a video where the command takes videos")
    if form.name == "HEIC":
        _register_heif(shown)
    size = source.stat().st_size if isinstance(source, Path) else len(source)
    if size > MAX_PICTURE_BYTES:
        raise MediaTooLargeError(f"{shown} has {size} bytes, over the limit of {MAX_PICTURE_BYTES}")
    with _decoding(shown), _opened(source, form) as image:
        if reduce_to and form.name == "JPEG":
            scale = max(1, max(image.size) // reduce_to)
            image.draft(None, (image.width // scale, image.height // scale))
        width, height = image.size
        if width * height > max_pixels:
            raise MediaTooLargeError(
                f"{shown} is {width} x {height} pixels, over the limit of {max_pixels / 1e6:.0f} MP",
                hint="scale the picture down first",
            )
        return _decode(image, form)


def open_luma(source: Path, form: Format, *, reduce_to: int) -> NDArray[np.uint8] | None:
    """The brightness of a colour or grey JPEG, upright, ``(h, w)`` uint8: its colour is not decoded.

    Args:
        form: the format, JPEG.
        reduce_to: as for :func:`open_picture`.

    Returns:
        None for a JPEG of four components, whose brightness is no component of its own.

    Raises:
        CorruptMediaError, MediaTooLargeError: as :func:`open_picture`.
    """
    with _decoding(str(source)), _opened(source, form) as image:
        if image.mode not in ("L", "RGB"):
            return None
        scale = max(1, max(image.size) // reduce_to)
        image.draft("L", (image.width // scale, image.height // scale))
        if image.width * image.height > DEFAULT_MAX_PIXELS:
            return None
        image.load()
        return np.asarray(ImageOps.exif_transpose(image).convert("L"))


def tells_location(source: Path) -> bool:
    """Whether a picture's EXIF says where it was taken; False for what cannot be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source) as image:
                return bool(image.getexif().get_ifd(ExifTags.IFD.GPSInfo))
    except Exception:
        return False  # whoever decodes the picture says what is wrong with it


def encode_picture(
    picture: Picture, format_name: str, *, quality: int | None = None, keep_gps: bool = False
) -> bytes:
    """Encode a picture with its ICC profile and cleaned EXIF.

    Args:
        format_name: JPEG, PNG, WebP, TIFF, AVIF or BMP.
        quality: 1 to 100. JPEG, WebP and AVIF default to 95; 100 makes WebP lossless.
        keep_gps: keep the location that EXIF holds; otherwise it is removed.

    Raises:
        UsageError: a format that cannot be written, or a quality out of range.
    """
    if format_name not in _CAN_WRITE:
        raise UsageError(f"cannot write {format_name}", hint=f"choose one of {', '.join(_CAN_WRITE)}")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"quality {quality} is not between 1 and 100")
    image = _to_image(picture, with_alpha=format_name in _ALPHA_FORMATS)
    options: dict[str, Any] = {}
    icc_space = {"L": b"GRAY", "LA": b"GRAY"}.get(image.mode, b"RGB ")
    if picture.icc and picture.icc[16:20] == icc_space:
        options["icc_profile"] = picture.icc
    exif = clean_exif(picture.exif, keep_gps=keep_gps)
    if exif and format_name != "BMP":
        options["exif"] = exif
    if format_name in ("JPEG", "WebP", "AVIF"):
        options["quality"] = 95 if quality is None else quality
    if format_name == "JPEG":
        options.update(optimize=True, subsampling=0 if options["quality"] >= 90 else 2)
    elif format_name == "WebP":
        options.update(lossless=quality == 100, exact=True)
    elif format_name == "AVIF":
        options["subsampling"] = "4:4:4" if options["quality"] >= 90 else "4:2:0"
    elif format_name == "TIFF":
        # Pillow's compressing TIFF writer fails on an EXIF directory
        options["compression"] = None if exif else "tiff_adobe_deflate"
    buffer = io.BytesIO()
    image.save(buffer, format=format_name.upper(), **options)
    return buffer.getvalue()


def clean_exif(exif: bytes | None, *, keep_gps: bool = False) -> bytes | None:
    """EXIF without orientation, location (unless asked), maker notes, previews and large binary values.

    Returns None where there is none, or where it is damaged or too large to be carried over.
    """
    if not exif:
        return None
    try:
        tags = Image.Exif()
        tags.load(exif)
        details, place = dict(tags.get_ifd(_EXIF)), dict(tags.get_ifd(_GPS)) if keep_gps else {}
        clean = Image.Exif()
        clean.endian = tags.endian
        for tag, value in tags.items():
            if tag not in _DROPPED_TAGS | {_ORIENTATION, _GPS, _EXIF} and _is_harmless(value):
                clean[tag] = value
        kept = {k: v for k, v in details.items() if k not in _DROPPED_TAGS and _is_harmless(v)}
        if kept:
            clean.get_ifd(_EXIF).update(kept)
        if place:
            clean.get_ifd(_GPS).update(place)
        if _ORIENTATION in tags:
            clean[_ORIENTATION] = 1
        data = clean.tobytes() if len(clean) or kept or place else b""
    except Exception:
        # what a stranger's file says about itself is not worth failing for
        return None
    return data if data and len(data) <= _MAX_EXIF_BYTES else None


@contextmanager
def _decoding(shown: str) -> Iterator[None]:
    """Turn whatever a decoder says about a bad picture into one of our errors."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (MediaTooLargeError, UnknownFormatError):
        raise
    except Image.DecompressionBombError as error:
        raise MediaTooLargeError(f"{shown} is too large to decode: {error}") from error
    except MemoryError as error:
        raise MediaTooLargeError(f"{shown} needs more memory than there is") from error
    except Exception as error:
        detail = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise CorruptMediaError(f"{shown} cannot be decoded: {detail}") from error


@contextmanager
def _opened(source: Path | bytes, form: Format) -> Iterator[Image.Image]:
    """Read a picture's header; the caller checks its size before it decodes anything.

    Pillow's own limit is a global that would speak first, in other words; it is lifted while the header is
    read, and ours is applied by the caller.
    """
    stream: Any = source if isinstance(source, Path) else io.BytesIO(source)
    with _limit_lock:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            image = Image.open(stream, formats=[_DECODERS.get(form.name, form.name.upper())])
        finally:
            Image.MAX_IMAGE_PIXELS = before
    with image:
        yield image


def _decode(image: Image.Image, form: Format) -> Picture:
    exif = image.info.get("exif") or _tiff_tags(image, form)
    frames = _frames_of(image)
    icc = image.info.get("icc_profile")
    icc = icc if isinstance(icc, bytes) and 128 <= len(icc) <= _MAX_ICC_BYTES else None
    image.load()
    upright = ImageOps.exif_transpose(image)
    is_grey = upright.mode in ("1", "L", "LA") or upright.mode.startswith(("I", "F"))
    upright, icc = _to_eight_bit_rgb(upright, icc)
    array = np.asarray(upright)
    alpha = np.ascontiguousarray(array[..., 3]) if upright.mode == "RGBA" else None
    return Picture(
        pixels=np.ascontiguousarray(array[..., :3]),
        alpha=alpha if alpha is not None and int(alpha.min()) < 255 else None,
        format=form,
        exif=_without_prefix(exif),
        icc=icc,
        is_grey=is_grey,
        frames=frames,
    )


def _frames_of(image: Image.Image) -> int:
    """How many frames or pages there are. A directory without a picture, such as the one in which C2PA's manifest of a
    TIFF of several pages lies, ends the count.
    """
    try:
        return min(int(getattr(image, "n_frames", 1)), 1_000_000)
    except TypeError:  # what Pillow says of a directory without dimensions
        if image.format != "TIFF":
            raise
        pages = 1
        try:
            while pages < 1_000_000:
                image.seek(pages)
                pages += 1
        except (TypeError, EOFError):
            image.seek(0)
        return pages


def _tiff_tags(image: Image.Image, form: Format) -> bytes | None:
    """A TIFF's own directory is its EXIF."""
    if form.name not in ("TIFF", "DNG"):
        return None
    try:
        return clean_exif(image.getexif().tobytes(), keep_gps=True)
    except Exception:
        return None


def _to_eight_bit_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, bytes | None]:
    """RGB or RGBA, and the profile that fits the result."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_scale_to_bytes(np.asarray(image)))
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        converted = _through_profile(image, icc) if image.mode == "CMYK" and icc else None
        return (converted or image.convert("RGB")), None
    has_alpha = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    return image.convert("RGBA" if has_alpha else "RGB"), icc


def _through_profile(image: Image.Image, icc: bytes) -> Image.Image | None:
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _scale_to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit integers by their high byte; wider integers and floats by their own range."""
    if values.dtype == np.uint16 or (np.issubdtype(values.dtype, np.integer) and 255 < values.max() <= 65535):
        high: NDArray[np.uint8] = (np.clip(values, 0, 65535).astype(np.uint16) >> 8).astype(np.uint8)
        return high
    finite: NDArray[Any] = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, peak = min(0.0, float(finite.min())), float(finite.max())
    top = 255.0 if 1.0 < peak <= 255.0 else max(peak, 1.0)
    scaled: NDArray[np.uint8] = np.clip((finite - low) / (top - low) * 255.0, 0, 255).astype(np.uint8)
    return scaled


def _to_image(picture: Picture, *, with_alpha: bool) -> Image.Image:
    pixels = picture.pixels
    still_grey = picture.is_grey and bool((pixels == pixels[..., :1]).all())
    planes = pixels[..., :1] if still_grey else pixels
    if with_alpha and picture.alpha is not None:
        planes = np.concatenate([planes, picture.alpha[..., None]], axis=2)
    return Image.fromarray(np.ascontiguousarray(planes.squeeze(2) if planes.shape[2] == 1 else planes))


def _without_prefix(exif: Any) -> bytes | None:
    if not isinstance(exif, bytes) or not exif or len(exif) > 1024 * 1024:
        return None
    return exif.removeprefix(b"Exif\x00\x00") or None


def _is_harmless(value: Any) -> bool:
    if isinstance(value, bytes):
        return len(value) <= _MAX_BINARY_TAG and b"\xff\xd8\xff" not in value and b"\x89PNG" not in value
    return not isinstance(value, dict) and (not isinstance(value, tuple | list) or len(value) <= 256)


def _register_heif(shown: str) -> None:
    """HEIC is decoded where the small decoder ``pi-heif`` is installed; signing does not need it."""
    try:
        import pi_heif
    except ImportError as error:
        raise UnknownFormatError(
            f"{shown} is HEIC, which cannot be decoded here", hint="pip install pi-heif"
        ) from error
    pi_heif.register_heif_opener()
