"""Goals besides hiding in videos: decoys, landmarks, face recognition; and looks at known places."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from cloak import detectors
from cloak.detectors.base import Detections
from cloak.detectors.geometry.matching import faces_found
from cloak.detectors.geometry.rendering import Rendering
from cloak.evaluate.compare import landmark_errors
from cloak.evaluate.detect import detect_pixels, load_encoders
from cloak.options import CloakOptions
from cloak.pixels import to_tensor
from cloak.recognition.network import SAME_PERSON, FaceRecognition
from cloak.recognition.objective import Recogniser
from cloak.video.decoys import place_in_video
from cloak.video.detectors import (
    WindowRecogniser,
    detect_in_frame,
    detect_near,
    window_detectors,
    window_landmarks,
)
from cloak.video.io import probe
from cloak.video.options import VideoOptions
from cloak.video.pipeline import cloak_video
from cloak.video.search import analyse_video
from cloak.video.state import VideoAnalysis
from cloak.video.tracks import Track
from cloak.video.window import Window
from provenance.errors import MissingModelError, NoFaceError
from tests.support.video_clips import panned, write_clip

torch.set_num_threads(1)
WEIGHTS = Path(__file__).parents[3] / ".cache" / "weights"


def wide_shot(portrait: np.ndarray, count: int, step: float = 0.0) -> list[np.ndarray]:
    """The portrait, small, before a wall with a pattern; the camera moves by ``step`` pixels a frame."""
    rng = np.random.default_rng(5)
    wall = cv2.resize(rng.integers(60, 180, (20, 45, 3), np.uint8), (800, 384), interpolation=cv2.INTER_CUBIC)
    wall[64:, 300:620] = cv2.resize(portrait, (320, 320), interpolation=cv2.INTER_AREA)
    turns = [np.array([[1, 0, -100 - step * number], [0, 1, 0]], np.float32) for number in range(count)]
    return [np.asarray(cv2.warpAffine(wall, turn, (560, 384), flags=cv2.INTER_LINEAR)) for turn in turns]


def the_plan(frames: int, *boxes: tuple[float, float, float, float], interval: int = 3) -> VideoAnalysis:
    """One face that moves from box to box."""
    at = np.linspace(0, frames - 1, len(boxes)).round().astype(int).tolist()
    face = Track(0, frames - 1, at, [list(box) for box in boxes], {"cascade": 1}, {"mtcnn": 1})
    return VideoAnalysis(frames, (0,), interval, (face,))


def test_decoys_keep_still_while_the_camera_does(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    film = write_clip(tmp_path / "still.mp4", wide_shot(portraits["astronaut"], 12))
    analysis = the_plan(12, (275, 80, 345, 170))
    decoys = place_in_video(probe(film), analysis, 2, 0)
    assert len(decoys) == 2 and all(one.decoy and (one.first, one.last) == (0, 11) for one in decoys)
    for one in decoys:
        assert one.at == [0, 3, 6, 9] and all(box == one.boxes[0] for box in one.boxes)
        reported = Detections(torch.tensor(one.boxes[:1]), torch.ones(1))
        assert faces_found(reported, torch.tensor([[275.0, 80, 345, 170]])).tolist() == [False]
    assert (
        place_in_video(probe(film), analysis, 2, 0) == decoys != place_in_video(probe(film), analysis, 2, 1)
    )


def test_decoys_follow_the_camera_until_they_leave(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    step = 6.0
    film = write_clip(tmp_path / "pan.mp4", wide_shot(portraits["astronaut"], 19, step))
    analysis = the_plan(19, (275, 80, 345, 170), (275 - 18 * step, 80, 345 - 18 * step, 170))
    decoys = place_in_video(probe(film), analysis, 2, 3)
    followed = [one for one in decoys if len(one.at) >= 4]
    assert followed
    for one in followed:
        moved = np.diff(np.array(one.boxes)[:, 0]) / np.diff(one.at)
        assert np.median(moved) == pytest.approx(-step, abs=0.7)
    for one in decoys:
        assert min(box[0] for box in one.boxes) > -0.2 * (one.boxes[0][2] - one.boxes[0][0])


def test_a_decoy_gives_way_to_a_face(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """A face that comes up in a place ends its decoy; two at a time stay the most."""
    film = write_clip(tmp_path / "still.mp4", wide_shot(portraits["astronaut"], 31))
    first = place_in_video(probe(film), the_plan(31, (275, 80, 345, 170), interval=1), 2, 0)
    x1, y1, x2, y2 = first[0].boxes[0]
    face = Track(0, 30, [0, 29, 30], [[275, 80, 345, 170]] * 2 + [[x1, y1, x2, y2]], {"cascade": 1})
    analysis = VideoAnalysis(31, (0,), 1, (face,))
    decoys = place_in_video(probe(film), analysis, 2, 0)
    assert any(one.boxes[0] == first[0].boxes[0] and one.last == 29 for one in decoys)
    for frame in range(31):
        zones = [one for one in decoys if one.covers(frame)]
        assert len(zones) <= 2
    no_room = place_in_video(probe(film), the_plan(31, (10, 10, 550, 370)), 2, 0)
    assert no_room == ()


def the_window(portraits: dict[str, np.ndarray]) -> Window:
    pictures = panned(portraits["astronaut"], 4, side=320)
    track = Track(0, 3, [0, 3], [[96, 40, 216, 200], [92, 38, 216, 204]], {"cascade": 1}, {"mtcnn": 1})
    window = Window(track, 0, 3, (128,), "cpu", top_left_sides=(160,))
    assert all(window.offer(number, picture) for number, picture in enumerate(pictures))
    return window


def test_each_detector_pads_frames_in_its_own_way(portraits: dict[str, np.ndarray]) -> None:
    portrait = portraits["astronaut"]
    window = Window(Track(0, 0, [0], [[150, 40, 270, 200]]), 0, 0, (128,), "cpu", top_left_sides=(160,))
    assert window.offer(0, np.ascontiguousarray(portrait[:256]))
    whole_frame = window.whole_frame(0.05, None)
    assert whole_frame is not None and whole_frame.top_left is not None
    nothing = torch.zeros_like(window.key)
    middle, corner = whole_frame.render(nothing, 128), whole_frame.top_left.render(nothing, 160)
    assert float(middle.pixels[..., :31, :].abs().max()) == 0 and float(middle.pixels[..., 40, :].max()) > 0
    assert float(corner.pixels[..., 81:, :].abs().max()) == 0 and float(corner.pixels[..., :8, :].max()) > 0
    down = corner.boxes(window.place.face)[0] - middle.boxes(window.place.face)[0] * (160 / 128)
    assert down.tolist() == pytest.approx([0, -40, 0, -40], abs=0.01)


def test_landmarks_of_the_key_frame(portraits: dict[str, np.ndarray]) -> None:
    window = the_window(portraits)
    mtcnn = detectors.load("mtcnn")
    points = window_landmarks(window, [mtcnn])["mtcnn"][0]
    eyes, face = points[:2], window.place.face[0]
    assert points.shape == (5, 2) and bool((eyes[:, 1] < points[2, 1]).all())
    assert bool(((points > face[:2] - 10) & (points < face[2:] + 10)).all())

    picture = panned(portraits["astronaut"], 1, side=320)[0]
    report = detect_pixels(mtcnn, picture)
    moved = Detections(report.boxes, report.scores, report.landmarks + 6.0)  # type: ignore[operator]
    size = float((report.boxes[0, 2:] - report.boxes[0, :2]).mean())
    assert landmark_errors(report, moved, report.boxes[:1]) == pytest.approx([72**0.5 / size], rel=1e-3)
    assert landmark_errors(report, Detections(torch.zeros(0, 4), torch.zeros(0)), report.boxes) == []


def test_recognition_knows_the_face_in_the_frame_that_is_shown(portraits: dict[str, np.ndarray]) -> None:
    try:
        network = FaceRecognition.load()
    except MissingModelError as error:
        pytest.skip(error.hint or str(error))
    window = the_window(portraits)
    recogniser = WindowRecogniser(window, network, [detectors.load("mtcnn")])
    published = window.publication_conditions(95, 0.05)[0]
    for transform in published.evaluation_transforms:
        shown = transform.render(Rendering(window.key))
        assert len(recogniser.for_rendering(shown).detect(shown.pixels)[0]) == 1
    noise = (torch.rand(window.key.shape, generator=torch.Generator().manual_seed(0)) - 0.5) / 10
    near = Recogniser.name
    assert recogniser.name == near
    first, last = (published.evaluation_transforms[index] for index in (0, -1))
    rendering = first.render(Rendering(window.key + noise))
    shown = rendering.pixels.requires_grad_(True)
    here, there = (recogniser.for_rendering(one.render(Rendering(window.key))) for one in (first, last))
    assert isinstance(here, Recogniser) and isinstance(there, Recogniser)
    assert float(here.distances(shown)) < SAME_PERSON < float(there.distances(shown))
    considered = recogniser.for_rendering(rendering).candidates(shown, [window.place.face])[0]
    (gradient,) = torch.autograd.grad(considered.logits.sum(), shown)
    assert float(considered.logits.detach()[0]) < SAME_PERSON / 0.1 and float(gradient.abs().sum()) > 0


def test_dlibs_network_is_asked_about_places(portraits: dict[str, np.ndarray]) -> None:
    """The same face as dlib's own answer, with and without noise; nothing where no face is."""
    try:
        detector = detectors.load("dlib-cnn")
    except MissingModelError as error:
        pytest.skip(error.hint or str(error))
    picture = np.ascontiguousarray(portraits["astronaut"][:300, 60:400])
    whole = detect_pixels(detector, picture)
    assert len(whole) == 1
    face = whole.boxes[:1]
    rng = np.random.default_rng(1)
    for amount in (0, 25):
        shown = np.clip(picture + rng.integers(-amount, amount + 1, picture.shape), 0, 255).astype(np.uint8)
        near = detect_near(detector, shown, face)
        assert faces_found(near, face).tolist() == [True] and len(near) == 1
        assert float(near.scores[0]) == pytest.approx(
            float(detect_pixels(detector, shown).scores[0]), abs=0.05
        )
    wall = torch.tensor([[5.0, 180, 95, 270]])
    assert faces_found(detect_near(detector, picture, wall), wall).tolist() == [False]
    assert len(detect_near(detector, picture, torch.zeros(0, 4))) == 0

    window = the_window(portraits)
    (wrapped,) = window_detectors([detector], window)
    assert faces_found(wrapped.detect(window.key)[0], window.place.face).tolist() == [True]
    half = torch.nn.functional.interpolate(window.key[..., 8:, 6:], scale_factor=0.5, mode="area")
    assert len(wrapped.detect(half)[0]) <= 1
    reports = detect_in_frame([detector, detectors.load("mtcnn")], picture)
    assert set(reports) == {"dlib-cnn", "mtcnn"} and faces_found(reports["dlib-cnn"], face).tolist() == [True]
    alone = detect_in_frame([detector], picture)["dlib-cnn"]
    assert faces_found(alone, face).tolist() == [True]


def test_a_film_with_all_goals(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Hidden, with decoys that are seen in the decoded film, and what became of landmarks in the report."""
    film = write_clip(tmp_path / "in.mp4", wide_shot(portraits["astronaut"], 8))
    options = CloakOptions(
        strength="high",
        veil="noise",
        detectors=("mtcnn",),
        judges=(),
        steps=30,
        decoys=1,
        displace_landmarks=True,
    )
    video = VideoOptions(window=8, crf=18, preset="veryfast", detection_rate=8)
    report = cloak_video(film, tmp_path / "out.mp4", options, video)
    assert report.success and (report.faces, report.decoys) == (1, 1)
    (detector,) = report.detectors
    assert report.decoys_shown == report.judged and detector.decoys >= report.judged / 2, report.lines()
    assert detector.elsewhere >= detector.decoys
    data = report.to_json()
    assert data["decoys"] == {"placed": 1, "shown": report.decoys_shown} and data["landmarks_displaced"]
    assert any("decoys" in line for line in report.lines()) and any(
        "landmarks" in line for line in report.lines()
    )


def test_encoders_of_faces_are_misled_in_films_as_in_pictures(
    portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    film = write_clip(tmp_path / "in.mp4", panned(portraits["astronaut"], 3, side=200))
    options = CloakOptions(
        detectors=("centerface",), judges=(), steps=2, rounds=1, recognition=True, weights=WEIGHTS
    )
    attacked, judging = (load_encoders(options, attackable=wanted) for wanted in (True, False))
    if not attacked:
        pytest.skip("no encoder of faces is on this machine")
    video = VideoOptions(preset="ultrafast", control=False)
    report = cloak_video(film, tmp_path / "out.mp4", options, video)
    assert [one.encoder for one in report.recognition] == [one.name for one in (*attacked, *judging)]
    assert [one.attacked for one in report.recognition] == [True] * len(attacked) + [False] * len(judging)
    assert all(one.shown == report.judged for one in report.recognition)
    for told, encoder in zip(report.recognition, (*attacked, *judging), strict=True):
        assert told.threshold == encoder.same_person and told.distance > 0
    assert len(report.to_json()["recognition"]) == len(report.recognition)
    if report.recognition[0].recognised["published"]:
        assert report.recognition[0].encoder in report.advice


def test_no_decoys_without_a_face(tmp_path: Path) -> None:
    wall = np.random.default_rng(5).integers(60, 180, (160, 160, 3), np.uint8)
    film = write_clip(tmp_path / "in.mp4", [cv2.blur(wall, (9, 9))] * 3)
    options = CloakOptions(detectors=("centerface",), judges=(), decoys=3)
    with pytest.raises(NoFaceError):
        cloak_video(film, tmp_path / "out.mp4", options, VideoOptions(control=False))
    analysis = analyse_video(
        probe(film), [detectors.load("centerface")], options, VideoOptions(), 3, lambda _: None
    )
    assert analysis.tracks == () and to_tensor(wall).shape == (1, 3, 160, 160)
