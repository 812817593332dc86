"""What comes back when a cloaked picture is cleaned."""

from __future__ import annotations

import numpy as np
import torch

from cloak import detectors
from cloak.evaluate.cleaning import CLEANING_NAMES, CLEANINGS, cleaning_line, found_after_cleaning
from cloak.evaluate.detect import detect_pixels


def test_a_clean_face_is_found_under_every_filter_and_one_that_was_never_seen_does_not_count(
    portraits: dict[str, np.ndarray],
) -> None:
    pixels = np.ascontiguousarray(portraits["astronaut"][:256, 96:352])
    detector = detectors.load("centerface")
    report = detect_pixels(detector, pixels)
    assert set(CLEANINGS) == set(CLEANING_NAMES)
    faces = torch.cat([report.boxes[:1], torch.tensor([[0.0, 0.0, 30.0, 30.0]])])
    found = found_after_cleaning([detector], pixels, faces, {"centerface": report}, "cpu")
    assert found == {"centerface": dict.fromkeys(CLEANINGS, 1)}
    flat = np.full_like(pixels, 128)
    found = found_after_cleaning([detector], flat, faces, {"centerface": report}, "cpu")
    assert found == {"centerface": dict.fromkeys(CLEANINGS, 0)}


def test_the_line_counts_detectors_that_saw_a_face_before_and_names_a_few() -> None:
    found = {name: {"blur1": 0, "blur2": 1, "median3": 0} for name in "abcdef"}
    found["a"]["blur1"] = 2
    line = cleaning_line(found, dict.fromkeys("abcde", 2) | {"f": 0})
    assert "Of 5 detectors" in line and "after a Gaussian blur of 1 pixel 1 (a)" in line
    assert "after one of 2 pixels 5;" in line and line.endswith("after a median filter of 3 pixels 0")
