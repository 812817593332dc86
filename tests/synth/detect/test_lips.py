"""The detector of lip-syncs: what it measures, when it does not judge, and what it says about real footage.

Lip-syncs are made of two people whose likeness may be generated; that takes minutes, so it is done in a slow test.
"""

from __future__ import annotations

import copy
import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from provenance.errors import CorruptMediaError, UsageError
from synth.detect.base import logistic
from synth.detect.learned import WEIGHTS, LearnedDetectors
from synth.detect.lip_features import evenly, from_the_front, lip_windows, motion_features, opening
from synth.detect.lips import LEAST_MOVEMENT, LipModel, lips_finding
from synth.detect.observe import FaceObserver, ObservedFace
from synth.detect.patches import MEASURES, PARTS, PatchMeter, no_patches
from synth.detect.training import lips as training
from synth.extraction.footage import open_footage

SECONDS = 3.6


@pytest.mark.slow
@pytest.mark.vectors
def test_a_real_lip_sync_is_told_from_the_same_person_as_filmed(
    test_data: Path, tmp_path: Path, model: LipModel
) -> None:
    """Of one of the two people whose likeness may be generated. The weights know both; how they do on people whom they
    do not know is in docs/research/detect.md. The sound, part of another person's speech, is new to them.
    """
    from provenance.home import Home
    from provenance.session import open_session
    from provenance.setup import initialize
    from synth.lipsync import LipsyncOptions, LipsyncRequest, make_lipsync

    target = tmp_path / "target.mp4"
    _smaller(test_data / "media" / "talking" / "model1.mp4", target, 5.0, 1280)
    sound = tmp_path / "said.wav"
    _part(test_data / "media" / "talking" / "speech3.wav", sound, 40.0, 43.4)
    home = Home.locate()
    initialize(home, subject="Researcher", algorithm="es256", passphrase=None)
    request = LipsyncRequest(LipsyncOptions(mark=False), declared=True)
    with open_session(home) as session:
        make_lipsync(target, sound, tmp_path / "made.mp4", request, session)
    observer = FaceObserver()
    made, filmed = (
        lips_finding(observer.observe(open_footage(path)[0], max_seconds=SECONDS), model)
        for path in (tmp_path / "made.mp4", target)
    )
    assert made.score is not None and filmed.score is not None
    assert made.score > 0.5 and made.score > filmed.score


def _smaller(source: Path, output: Path, seconds: float, height: int) -> None:
    """The beginning of a video, scaled down, with its sound."""
    with av.open(str(source)) as film, av.open(str(output), "w") as out:
        picture, voice = film.streams.video[0], film.streams.audio[0]
        frames = out.add_stream("libx264", rate=picture.average_rate, options={"crf": "14"})
        frames.width, frames.height = height * picture.width // picture.height // 2 * 2, height
        frames.pix_fmt = "yuv420p"
        sound = out.add_stream("aac", rate=voice.rate, layout="stereo")
        for frame in film.decode(picture, voice):
            if frame.time >= seconds:
                continue
            if isinstance(frame, av.VideoFrame):
                out.mux(frames.encode(frame.reformat(frames.width, height, "yuv420p", interpolation="AREA")))
            else:
                out.mux(sound.encode(frame))
        out.mux(frames.encode(None))
        out.mux(sound.encode(None))


def _part(source: Path, output: Path, start: float, end: float) -> None:
    from synth.lipsync.mouth.audio import RATE, load_sound

    with wave.open(str(output), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        samples = load_sound(source).part(start, end).samples
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())


@pytest.fixture(scope="module")
def model() -> LipModel:
    return LearnedDetectors().lips


@pytest.fixture(scope="module")
def speaking(test_data: Path) -> ObservedFace:
    """The first seconds of somebody who speaks."""
    path = test_data / "media" / "talking" / "speaker4.mp4"
    return FaceObserver().observe(open_footage(path)[0], max_seconds=SECONDS)


@pytest.mark.vectors
class TestRealFootage:
    def test_somebody_who_speaks_is_judged_and_is_not_called_a_lip_sync(
        self, speaking: ObservedFace, model: LipModel
    ) -> None:
        found = lips_finding(speaking, model)
        assert found.score is not None and found.score < 0.5
        assert found.saw["chin_follows_opening"] > 0.3
        assert {line.name for line in found.plots[0].lines} == {"opening", "chin"}

    def test_lips_of_another_moment_score_higher_than_the_same_clip_as_filmed(
        self, speaking: ObservedFace, model: LipModel
    ) -> None:
        front = from_the_front(speaking.landmarks)
        filmed = np.mean([model.log_odds(told) for _, told in lip_windows(speaking)])
        fakes = training.landmark_fakes("x", speaking.times, front)
        moved = [model.log_odds(told) for one in fakes for told in one.windows]
        assert len(moved) == training.EACH and min(moved) > filmed + 1

    def test_a_landmark_fake_keeps_the_eyes_and_the_head(self, speaking: ObservedFace) -> None:
        even = evenly(from_the_front(speaking.landmarks), speaking.times)
        fake = training.landmark_fake(even, np.random.default_rng(0))
        eyes = [33, 133, 362, 263, 168, 6, 10]
        assert np.array_equal(fake[:, eyes], even[:, eyes])
        assert not np.allclose(opening(fake), opening(even))
        assert abs(opening(fake).mean() - opening(even).mean()) < 0.02  # the same mouth

    def test_nothing_is_said_about_who_moves_the_head_or_how_large_the_face_is(
        self, speaking: ObservedFace
    ) -> None:
        turned = copy.deepcopy(speaking)
        angle, size = np.deg2rad(12), 1.7
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned.landmarks[..., :2] = turned.landmarks[..., :2] @ turn.T.astype(np.float32) + 40
        turned.landmarks[..., 2] *= size
        one, other = (
            motion_features(evenly(from_the_front(each.landmarks), each.times)) for each in (speaking, turned)
        )
        assert list(one) == list(other)
        assert list(other.values()) == pytest.approx(list(one.values()), abs=0.02)

    def test_it_does_not_judge_what_it_cannot(self, speaking: ObservedFace, model: LipModel) -> None:
        def reason(**changes: object) -> str:
            other = copy.deepcopy(speaking)
            for name, value in changes.items():
                setattr(other, name, value)
            found = lips_finding(other, model)
            assert found.score is None
            return found.reason

        hidden = speaking.landmarks.copy()
        hidden[::3] = np.nan
        still = np.repeat(speaking.landmarks[:1], len(speaking.times), 0)
        assert "too short" in reason(times=speaking.times / 2)
        assert "too few for lips" in reason(times=speaking.times * 3)
        assert "no face in" in reason(landmarks=hidden)
        assert "hardly moves" in reason(landmarks=still)
        assert "too small" in reason(span=20.0)
        assert "compressed" in reason(frozen=0.9)
        assert "does not speak" in reason(kind="picture")
        assert LEAST_MOVEMENT > 0


class TestPatches:
    def test_a_mouth_that_was_made_soft_has_less_fine_detail_than_the_cheeks(
        self, portraits: dict[str, np.ndarray]
    ) -> None:
        import cv2

        from synth.extraction.finder import FaceFinder

        pixels = portraits["astronaut"]
        points = FaceFinder().find(pixels)[0].landmarks[:, :2].astype(np.float64)
        outline = cv2.convexHull(points[list(PARTS["mouth"])].astype(np.float32)).astype(np.int32)
        inside = np.zeros(pixels.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, outline, 1)
        soft = np.where(inside[..., None] > 0, cv2.GaussianBlur(pixels, (0, 0), 2.5), pixels)
        seen = []
        for one in (pixels, soft):
            result = no_patches(2)
            meter = PatchMeter(result)
            for index in range(2):
                meter.add(index, one, points)
            seen.append(result[1])
        fine = MEASURES.index("fine")
        mouth, cheek = list(PARTS).index("mouth"), list(PARTS).index("left cheek")
        assert seen[1][mouth, fine] < 0.6 * seen[0][mouth, fine]
        assert seen[1][cheek, fine] == pytest.approx(seen[0][cheek, fine], rel=0.05)
        assert seen[0][cheek, MEASURES.index("change")] < 0.5  # the same picture twice
        assert seen[0][cheek, MEASURES.index("kept")] > 0.95


class TestModel:
    def test_the_shipped_one_is_what_its_record_says(self, model: LipModel) -> None:
        taught = json.loads((WEIGHTS / training.TAUGHT_FILE).read_bytes())
        real = {person for person, kind, _ in taught["held_out"] if kind == "filmed"}
        fake = {person for person, kind, _ in taught["held_out"] if kind == training.LIPSYNC}
        assert len(real) == 13 and fake == {"model1", "model2"}
        assert f"{len(real)} people" in model.about

    def test_a_feature_that_could_not_be_measured_has_no_influence(self, model: LipModel) -> None:
        usual = dict(zip(model.features, model.mean.tolist(), strict=True))
        assert model.log_odds(usual) == pytest.approx(model.offset)
        assert model.log_odds({}) == pytest.approx(model.offset)
        assert 0 < logistic(model.log_odds(dict.fromkeys(model.features, 1000000000.0))) < 1

    @pytest.mark.parametrize(
        "change", [{"schema": "x"}, {"weights": [1.0]}, {"scale": None}, {"offset": "no"}]
    )
    def test_what_is_no_model_is_refused(self, change: dict[str, object]) -> None:
        data = json.loads((WEIGHTS / "lips.json").read_bytes())
        with pytest.raises(CorruptMediaError, match="no model of lips"):
            LipModel.loads(json.dumps({**data, **change}).encode())

    def test_it_learns_what_differs_within_each_person_and_not_who_they_are(self) -> None:
        random = np.random.default_rng(0)
        rows = []
        for number in range(8):
            own = random.normal()
            for fake in (False, True):
                windows = tuple(
                    {"person": own + 0.1 * random.normal(), "sign": float(fake) + 0.3 * random.normal()}
                    for _ in range(4)
                )
                kind = training.LIPSYNC if fake else "filmed"
                rows.append(training.LipRow(f"p{number}", kind, fake, windows))
        found = training.train_lips(rows, shrink=1.0)
        weights = dict(zip(found.features, found.weights.tolist(), strict=True))
        assert weights["sign"] > 5 * abs(weights["person"])
        held = training.held_out_lips(rows, shrink=1.0)
        assert all((value or 0) > 0 for value, row in zip(held, rows, strict=True) if row.fake)
        with pytest.raises(UsageError, match="needed"):
            training.train_lips([row for row in rows if not row.fake])
