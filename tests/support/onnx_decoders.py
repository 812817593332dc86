"""What ONNX Runtime makes of an ONNX face detector, and its outputs decoded anew in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime

Decoded = tuple[np.ndarray, np.ndarray, np.ndarray | None]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def run(data: bytes, picture: np.ndarray) -> list[np.ndarray]:
    """ONNX Runtime's outputs for ``(1, 3, H, W)``."""
    model = onnx.load_from_string(data)
    for at, side in ((2, picture.shape[2]), (3, picture.shape[3])):  # files for any size may declare one
        model.graph.input[0].type.tensor_type.shape.dim[at].dim_value = side
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    kind = np.float16 if given.type == "tensor(float16)" else np.float32
    return [np.asarray(one, np.float32) for one in session.run(None, {given.name: picture.astype(kind)})]


def greedy(boxes: np.ndarray, scores: np.ndarray, most: float, pixel: float) -> list[int]:
    kept: list[int] = []
    for at in np.argsort(-scores, kind="stable"):
        rest = boxes[kept]
        w = np.minimum(rest[:, 2], boxes[at, 2]) - np.maximum(rest[:, 0], boxes[at, 0]) + pixel
        h = np.minimum(rest[:, 3], boxes[at, 3]) - np.maximum(rest[:, 1], boxes[at, 1]) + pixel
        common = np.clip(w, 0, None) * np.clip(h, 0, None)
        area = (boxes[at, 2] - boxes[at, 0] + pixel) * (boxes[at, 3] - boxes[at, 1] + pixel)
        areas = (rest[:, 2] - rest[:, 0] + pixel) * (rest[:, 3] - rest[:, 1] + pixel)
        if not (common > most * (area + areas - common)).any():
            kept.append(int(at))
    return kept


def decode_scrfd(outputs: list[np.ndarray], height: int, width: int) -> Decoded:
    scores, boxes, points = [], [], []
    for level, stride in enumerate((8, 16, 32)):
        score = outputs[level].reshape(-1)
        box = outputs[level + 3].reshape(-1, 4) * stride
        row = 0
        for y in range(height // stride):
            for x in range(width // stride):
                for _ in range(2):
                    cx, cy = x * stride, y * stride
                    left, up, right, down = box[row]
                    boxes.append((cx - left, cy - up, cx + right, cy + down))
                    if len(outputs) == 9:
                        points.append(outputs[level + 6].reshape(-1, 5, 2)[row] * stride + (cx, cy))
                    row += 1
        scores.append(score)
    return np.concatenate(scores), np.array(boxes), np.array(points) if points else None


def decode_yolo(outputs: list[np.ndarray], height: int, width: int) -> Decoded:
    if len(outputs) == 1:
        rows = outputs[0][0].T
        x, y, w, h = rows[:, :4].T
        points = rows[:, 5:].reshape(-1, 5, 3)[..., :2] if rows.shape[1] == 20 else None
        return rows[:, 4], np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1), points
    scores, boxes, points_list = [], [], []
    each = len(outputs) // 3
    for level, stride in enumerate((8, 16, 32)):
        maps = np.concatenate(outputs[level * each : (level + 1) * each], 1)[0]
        for y in range(height // stride):
            for x in range(width // stride):
                cell = maps[:, y, x].astype(np.float64)
                sides = []
                for side in range(4):
                    raised = np.exp(cell[side * 16 : side * 16 + 16] - cell[side * 16 : side * 16 + 16].max())
                    sides.append(float((raised / raised.sum() * np.arange(16)).sum()))
                ax, ay = x + 0.5, y + 0.5
                boxes.append([(ax - sides[0]), (ay - sides[1]), (ax + sides[2]), (ay + sides[3])])
                boxes[-1] = [one * stride for one in boxes[-1]]
                scores.append(float(sigmoid(cell[64])))
                if len(cell) > 65:
                    spots = cell[65:].reshape(5, 3)[:, :2]
                    points_list.append((spots * 2 + np.array([ax - 0.5, ay - 0.5])) * stride)
    return np.array(scores), np.array(boxes), np.array(points_list) if points_list else None


def decode_retina(outputs: list[np.ndarray], height: int, width: int) -> Decoded:
    loc, conf, landm = (one[0].astype(np.float64) for one in outputs)
    small = {8: (10, 16, 24), 16: (32, 48), 32: (64, 96), 64: (128, 192, 256)}
    large = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
    cells = sum(-(-height // s) * -(-width // s) * 2 for s in (8, 16, 32))
    boxes, points, row = [], [], 0
    for stride, sides in (large if cells == len(loc) else small).items():
        for y in range(-(-height // stride)):
            for x in range(-(-width // stride)):
                for side in sides:
                    cx, cy = (x + 0.5) * stride, (y + 0.5) * stride
                    mx, my = cx + loc[row, 0] * 0.1 * side, cy + loc[row, 1] * 0.1 * side
                    w, h = side * math.exp(loc[row, 2] * 0.2), side * math.exp(loc[row, 3] * 0.2)
                    boxes.append((mx - w / 2, my - h / 2, mx + w / 2, my + h / 2))
                    points.append(
                        [(cx + dx * 0.1 * side, cy + dy * 0.1 * side) for dx, dy in landm[row].reshape(5, 2)]
                    )
                    row += 1
    return conf[:, 1], np.array(boxes), np.array(points)


def decode_ultra(outputs: list[np.ndarray], height: int, width: int) -> Decoded:
    return outputs[0][0, :, 1], outputs[1][0] * np.array([width, height, width, height]), None


def decode_yunet(outputs: list[np.ndarray], height: int, width: int) -> Decoded:
    scores, boxes, points = [], [], []
    for level, stride in enumerate((8, 16, 32)):
        kind, thing, box, spot = (outputs[part * 3 + level][0].astype(np.float64) for part in range(4))
        for row in range(len(kind)):
            y, x = divmod(row, width // stride)
            cx, cy = (x + box[row, 0]) * stride, (y + box[row, 1]) * stride
            w, h = math.exp(box[row, 2]) * stride, math.exp(box[row, 3]) * stride
            scores.append(math.sqrt(kind[row, 0] * thing[row, 0]))
            boxes.append((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2))
            points.append((spot[row].reshape(5, 2) + np.array([x, y])) * stride)
    return np.array(scores), np.array(boxes), np.array(points)


def decode_centre(outputs: list[np.ndarray], height: int, width: int) -> Decoded:
    heat, scale, offset, landmarks = (one[0].astype(np.float64) for one in outputs)
    scores, boxes, points = [], [], []
    for y in range(height // 4):
        for x in range(width // 4):
            h, w = math.exp(scale[0, y, x]) * 4, math.exp(scale[1, y, x]) * 4
            left = min(max(0.0, (x + offset[1, y, x] + 0.5) * 4 - w / 2), width)
            top = min(max(0.0, (y + offset[0, y, x] + 0.5) * 4 - h / 2), height)
            boxes.append((left, top, min(left + w, width), min(top + h, height)))
            spots = landmarks[:, y, x].reshape(5, 2)
            points.append([(left + px * w, top + py * h) for py, px in spots])
            scores.append(float(heat[0, y, x]))
    return np.array(scores), np.array(boxes), np.array(points)


#: By head: decoding, mean, scale, blue first, overlap, pixel, where a fixed size has the picture.
HEADS: dict[str, tuple[Callable[..., Decoded], tuple[float, ...], float, bool, float, float, str]] = {
    "scrfd": (decode_scrfd, (127.5,) * 3, 1 / 128, False, 0.4, 1.0, "corner"),
    "yolov8-face": (decode_yolo, (0.0,) * 3, 1 / 255, False, 0.5, 0.0, "middle"),
    "retinaface": (decode_retina, (104.0, 117.0, 123.0), 1.0, True, 0.4, 1.0, "corner"),
    "ultra-light": (decode_ultra, (127.0,) * 3, 1 / 128, False, 0.3, 0.0, "corner"),
    "yunet": (decode_yunet, (0.0,) * 3, 1.0, True, 0.3, 0.0, "corner"),
    "centerface": (decode_centre, (0.0,) * 3, 1.0, False, 0.3, 0.0, "corner"),
}
