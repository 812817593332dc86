"""What lip-sync keeps between runs, so that nothing is made twice: one folder for each person, and in it one for each
sound.

Landmarks and mouth models say how a real person looks and moves: the folders are for their owner alone (0700).
Composited frames are kept only while a film is being made, as differences to the target's frames, which show nothing
without it; no generated picture lies here unlabelled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from provenance.errors import NotWritableError
from provenance.media.files import write_bytes

_HEADER = struct.Struct(">4sIIII")
_MAGIC, _MAX_PIXELS = b"VMD1", 8192 * 8192


class Workspace:
    """The folder of all this.

    Args:
        folder: it is made where it is missing.

    Raises:
        NotWritableError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def person(self, target_sha256: str) -> Path:
        """The folder of one target video."""
        return self._made(self.folder / f"person-{target_sha256[:32]}")

    def saying(self, target_sha256: str, sound_sha256: str, how: Any) -> Path:
        """The folder of one sound, said by one person, with these options."""
        return self._made(self.person(target_sha256) / f"sound-{sound_sha256[:32]}-{fingerprint(how)[:16]}")

    def _made(self, folder: Path) -> Path:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise NotWritableError(f"cannot make {folder}: {error.strerror or error}") from error
        return folder


def fingerprint(how: Any) -> str:
    """Hex SHA-256 of something that JSON can say."""
    return hashlib.sha256(json.dumps(how, sort_keys=True, default=str).encode()).hexdigest()


class Changes:
    """Differences of finished frames to the frames they were made from, one file each.

    Args:
        folder: where they lie; :meth:`clear` removes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, index: int, base: NDArray[np.uint8], made: NDArray[np.uint8]) -> None:
        """Keep what makes ``made`` of ``base``, both ``(H, W, 3)`` uint8."""
        differs = (base != made).any(-1)
        rows, columns = np.flatnonzero(differs.any(1)), np.flatnonzero(differs.any(0))
        top, left, height, width = 0, 0, 0, 0
        if len(rows):
            top, left = int(rows[0]), int(columns[0])
            height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
        area = (slice(top, top + height), slice(left, left + width))
        change = made[area] - base[area]  # modulo 256, and so is the way back
        data = _HEADER.pack(_MAGIC, top, left, height, width) + zlib.compress(change.tobytes(), 1)
        write_bytes(self._path(index), data, mode=0o600)

    def get(self, index: int, base: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """The finished frame again; None where there is none, or it does not fit."""
        try:
            data = self._path(index).read_bytes()
            magic, top, left, height, width = _HEADER.unpack_from(data)
            if magic != _MAGIC or top + height > base.shape[0] or left + width > base.shape[1]:
                return None
            if height * width > _MAX_PIXELS:
                return None
            wanted = height * width * 3
            change = zlib.decompressobj().decompress(data[_HEADER.size :], wanted + 1)
        except (OSError, struct.error, zlib.error):
            return None
        if len(change) != wanted:
            return None
        made = base.copy()
        made[top : top + height, left : left + width] += np.frombuffer(change, np.uint8).reshape(
            height, width, 3
        )
        return made

    def has(self, index: int) -> bool:
        return self._path(index).is_file()

    def clear(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self.folder / f"frame{index:07d}.change"
