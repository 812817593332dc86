"""Local features of a picture: where its corners are and what surrounds each, in 38 bytes.

Points are ORB's (Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011): FAST corners
in a scale pyramid, each with an orientation and a 256-bit descriptor relative to it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from provenance.errors import ReceiptError

#: Pictures are scaled before they are fingerprinted, so that the longer side lies between these, in pixels.
SMALLEST_SIDE, WORKING_SIDE = 512, 640
#: At most so many points are kept for the record; the strongest, spread over the picture.
MAX_POINTS = 400
DESCRIPTOR_BYTES = 32
#: Points are chosen from so many times more, evenly from so many rows and columns of cells, and coarse and fine.
_FOUND_PER_KEPT, _CELLS, _COARSE_LEVEL = 3, 6, 4
_MAGIC = b"VMLF\x01"
_HEADER = struct.Struct(">5sIIH")
_POINT = np.dtype(
    [("x", ">u2"), ("y", ">u2"), ("size", "u1"), ("angle", "u1"), ("bits", "u1", DESCRIPTOR_BYTES)]
)
_MAX_SIDE, _NARROWEST = 4096, 32
_MAX_BLOB = _HEADER.size + 4096 * _POINT.itemsize


@dataclass(frozen=True)
class LocalFeatures:
    """Points of one picture, strongest first.

    Attributes:
        width, height: of the upright picture at working size; their ratio is what counts.
        points: ``(N, 2)`` float32, x and y as fractions 0..1 of width and height.
        sizes: ``(N,)`` float32, diameter of the described patch as a fraction of the longer side.
        angles: ``(N,)`` float32, degrees 0..360, clockwise in the picture.
        descriptors: ``(N, 32)`` uint8.
    """

    width: int
    height: int
    points: NDArray[np.float32]
    sizes: NDArray[np.float32]
    angles: NDArray[np.float32]
    descriptors: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points)

    def strongest(self, count: int) -> LocalFeatures:
        """The first ``count`` points."""
        return replace(
            self,
            points=self.points[:count],
            sizes=self.sizes[:count],
            angles=self.angles[:count],
            descriptors=self.descriptors[:count],
        )

    def to_bytes(self) -> bytes:
        """Big-endian header and 38 bytes a point; at most :data:`MAX_POINTS` points, about 15 KB."""
        count = min(len(self), MAX_POINTS)
        packed = np.zeros(count, dtype=_POINT)
        packed["x"] = np.clip(np.round(self.points[:count, 0] * 65535), 0, 65535)
        packed["y"] = np.clip(np.round(self.points[:count, 1] * 65535), 0, 65535)
        packed["size"] = np.clip(np.round(self.sizes[:count] * 255), 1, 255)
        packed["angle"] = np.round(self.angles[:count] * (256 / 360)).astype(np.int64) % 256
        packed["bits"] = self.descriptors[:count]
        return _HEADER.pack(_MAGIC, self.width, self.height, count) + packed.tobytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> LocalFeatures:
        """Parse what :meth:`to_bytes` wrote.

        Raises:
            ReceiptError: another format or version, or a length that does not fit.
        """
        if len(data) < _HEADER.size or len(data) > _MAX_BLOB or not data.startswith(_MAGIC):
            raise ReceiptError("not a veilmark picture feature blob of a known version")
        _, width, height, count = _HEADER.unpack_from(data)
        sane = 0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE
        if not sane or len(data) != _HEADER.size + count * _POINT.itemsize:
            raise ReceiptError("picture feature blob has a wrong length or size")
        packed = np.frombuffer(data, dtype=_POINT, offset=_HEADER.size)
        return cls(
            width=width,
            height=height,
            points=np.stack([packed["x"], packed["y"]], axis=1).astype(np.float32) / np.float32(65535),
            sizes=np.maximum(packed["size"], 1).astype(np.float32) / np.float32(255),
            angles=packed["angle"].astype(np.float32) * (360 / 256),
            descriptors=np.ascontiguousarray(packed["bits"]),
        )


def at_working_size(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrunk or, where it is tiny, enlarged: points are found only where there are pixels around them."""
    height, width = grey.shape
    longer = max(height, width)
    if SMALLEST_SIDE <= longer <= WORKING_SIDE:
        return grey
    import cv2

    scale = (WORKING_SIDE if longer > WORKING_SIDE else SMALLEST_SIDE) / longer
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(grey, size, interpolation=method), dtype=np.uint8)


def extract_features(grey: NDArray[np.uint8], *, max_points: int = MAX_POINTS) -> LocalFeatures:
    """Find points in ``(h, w)`` uint8 grey at working size; describe ``max_points``, strong and well spread."""
    import cv2

    # twelve levels reach down to an eighth of the size, so that a thumbnail still meets its original
    detector = cv2.ORB.create(
        nfeatures=_FOUND_PER_KEPT * max_points, scaleFactor=1.2, nlevels=12, edgeThreshold=10, fastThreshold=7
    )
    # in a strip that is narrower than a point's surroundings there is nothing to describe
    found = detector.detect(grey, None) if min(grey.shape) >= _NARROWEST else ()
    extent = np.array([grey.shape[1], grey.shape[0]], dtype=np.float32)
    places = np.array([point.pt for point in found], dtype=np.float32).reshape(-1, 2) / extent
    levels = np.array([point.octave for point in found], dtype=np.int64)
    strengths = np.array([point.response for point in found], dtype=np.float32)
    order = _well_spread(places, levels, strengths)[:max_points]
    # describing drops no point that was detected with the same settings, and keeps the order
    chosen, descriptors = detector.compute(grey, [found[position] for position in order])
    if descriptors is None:
        chosen, descriptors = (), np.zeros((0, DESCRIPTOR_BYTES), dtype=np.uint8)
    return LocalFeatures(
        width=grey.shape[1],
        height=grey.shape[0],
        points=np.array([point.pt for point in chosen], dtype=np.float32).reshape(-1, 2) / extent,
        sizes=np.array([point.size for point in chosen], dtype=np.float32) / extent.max(),
        angles=np.array([point.angle for point in chosen], dtype=np.float32) % 360,
        descriptors=np.asarray(descriptors, dtype=np.uint8),
    )


def _well_spread(
    places: NDArray[np.float32], levels: NDArray[np.int64], strengths: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Positions in an order that takes the strongest of every cell and scale first, then all second ones...

    The strongest points of a picture crowd in a few places; a crop that misses those would share nothing.
    """
    cells = np.clip((places * _CELLS).astype(np.int64), 0, _CELLS - 1)
    bucket = (cells[:, 0] * _CELLS + cells[:, 1]) * 2 + (levels >= _COARSE_LEVEL)
    by_bucket = np.lexsort((-strengths, bucket))
    in_order = bucket[by_bucket]
    first = np.searchsorted(in_order, in_order, side="left")
    rank = np.empty(len(bucket), dtype=np.int64)
    rank[by_bucket] = np.arange(len(bucket)) - first
    return np.lexsort((-strengths, rank))
