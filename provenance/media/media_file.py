"""One media file along a pipeline: what is learnt about its bytes is learnt once."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from provenance.errors import CorruptMediaError, MediaTooLargeError, MissingPathError, UnknownFormatError
from provenance.lazy import unlocked_property
from provenance.media.files import is_file
from provenance.media.formats import ANY_FILE, Format, detect_format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from provenance.media.picture import Picture

MAX_FILE_BYTES = 16 * 1024**3


class MediaFile:
    """A file that exists, can be read and is of a known size and format; made by :meth:`open`.

    SHA-256 and decoded picture are computed when first asked for, and kept. It is assumed that nobody writes to the
    file meanwhile. Safe to use from several threads.

    Attributes:
        path: where it is.
        format: decided from its bytes.
        size: in bytes.
    """

    def __init__(self, path: Path, form: Format, size: int) -> None:
        self.path = path
        self.format = form
        self.size = size
        self._decoding = threading.Lock()
        self._picture: Picture | None = None
        self._reduced_to: int | None = None
        self._luma: NDArray[np.uint8] | None = None

    @classmethod
    def open(cls, path: Path, *, any_file: bool = False) -> MediaFile:
        """Look at a file's format and size.

        Args:
            any_file: bytes of no known format count as :data:`provenance.media.formats.ANY_FILE`.

        Raises:
            MissingPathError, MediaTooLargeError, UnknownFormatError, CorruptMediaError.
        """
        size = _checked_size(path)
        return cls(path, detect_format(path, any_file=any_file), size)

    @classmethod
    def open_any(cls, path: Path) -> tuple[MediaFile, UnknownFormatError | None]:
        """Like :meth:`open` with ``any_file``, and the error that :meth:`open` would have raised, or None."""
        try:
            return cls.open(path), None
        except UnknownFormatError as error:
            return cls(path, ANY_FILE, path.stat().st_size), error

    @unlocked_property
    def sha256(self) -> str:
        """Hex SHA-256 of the bytes."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def picture(self, *, reduce_to: int | None = None) -> Picture:
        """The decoded first frame of a picture.

        Args:
            reduce_to: a JPEG may come at 1/2, 1/4 or 1/8 as long as its longer side stays at least this many pixels. A
                picture that was decoded at a larger size before is returned as it is.

        Raises:
            UnknownFormatError, CorruptMediaError, MediaTooLargeError: see
                :func:`provenance.media.picture.open_picture`.
        """
        from provenance.media.picture import open_picture

        with self._decoding:
            large_enough = self._reduced_to is None or (
                reduce_to is not None and reduce_to <= self._reduced_to
            )
            if self._picture is None or not large_enough:
                self._picture = open_picture(self.path, reduce_to=reduce_to, form=self.format)
                self._reduced_to = reduce_to
            return self._picture

    def luma(self, *, reduce_to: int) -> NDArray[np.uint8] | None:
        """The brightness of a JPEG, ``(h, w)`` uint8, decoded without its colour; None where that is not possible, or
        where the picture was decoded already.

        Args:
            reduce_to: as for :meth:`picture`.

        Raises:
            CorruptMediaError, MediaTooLargeError: see :func:`provenance.media.picture.open_luma`.
        """
        from provenance.media.picture import open_luma

        with self._decoding:
            if self.format.name != "JPEG" or self._picture is not None:
                return None
            if self._luma is None:
                self._luma = open_luma(self.path, self.format, reduce_to=reduce_to)
            return self._luma


def _checked_size(path: Path) -> int:
    if not is_file(path):
        raise MissingPathError(f"{path} does not exist or is no file")
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as error:
        raise CorruptMediaError(
            f"{path} cannot be read: {error.strerror or error}", hint="check the file's permissions"
        ) from error
    if size > MAX_FILE_BYTES:
        raise MediaTooLargeError(
            f"{path} has {size} bytes, over the limit of {MAX_FILE_BYTES >> 30} GiB",
            hint="record its hash instead: veilmark record --hash SHA256",
        )
    return size
