"""The fake detectors that come with veilmark tell fakes from real faces, and the recipe that teaches them works.

Their figures, on people held out from other weights, are those of docs/research/detect.md. Here it is the shipped
weights, on what can be had of material that they did not learn from: two portraits of other people; seconds of the
clips after the six that were learned from (of the same people, so this says less); and for splices the clips' frames,
of which that network has seen none. Limits are set well below what was measured.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from provenance.errors import UsageError
from synth.detect.base import logistic
from synth.detect.calibrate import auc
from synth.detect.learned import LearnedDetectors
from synth.detect.observe import FaceObserver
from synth.detect.training import faces as train_faces
from synth.detect.training import material, train
from synth.detect.training import splice as train_splice
from synth.detect.training.material import TrainingFace
from synth.extraction.footage import open_footage


@pytest.fixture(scope="module")
def judges() -> LearnedDetectors:
    return LearnedDetectors()


@pytest.fixture(scope="module")
def strangers(portraits: dict[str, np.ndarray]) -> list[TrainingFace]:
    """Eileen Collins and Grace Hopper."""
    return material.photo_faces(list(portraits.values()), FaceObserver())


@pytest.fixture(scope="module")
def later_faces(test_data: Path) -> list[TrainingFace]:
    """One face of each clip that is long enough, a second after the seconds that were learned from."""
    observer, faces = FaceObserver(), []
    for path in sorted((test_data / "media").glob("*/*.mp4")):
        for raw in open_footage(path)[0].frames(lambda index: index >= 120):
            if raw.time >= train.SECONDS + 1:
                faces += [
                    TrainingFace(path.stem, one.pixels, one.points)
                    for one in material.photo_faces([raw.pixels], observer)[:1]
                ]
                break
    return faces


def ranked(
    judges: LearnedDetectors, kind: str, faces: list[TrainingFace], each: int
) -> tuple[float, float, float, float]:
    """Area under the curve; share of pairs in which the fake has the higher logit; mean scores of real and fake."""
    pools = [train_faces.make_pool(kind, faces, each, 1000 + seed) for seed in range(2)]
    network, slope, offset = judges.faces[kind]
    real, fake = (
        np.concatenate([train_faces.logits_of(network, getattr(pool, which)) for pool in pools])
        for which in ("real", "fake")
    )
    means = [float(np.mean([logistic(slope * one + offset) for one in part])) for part in (real, fake)]
    return auc(real.tolist(), fake.tolist()), float((fake > real).mean()), *means


class TestFaces:
    def test_warped_faces_of_strangers_are_told_from_real_ones(
        self, judges: LearnedDetectors, strangers: list[TrainingFace]
    ) -> None:
        area, pairs, real, fake = ranked(judges, "warp", strangers, 20)
        assert len(strangers) == 2
        assert area > 0.85 and pairs > 0.9
        assert real < 0.4 and fake > 0.6

    def test_self_blended_faces_of_strangers_are_ranked_higher_than_real_ones(
        self, judges: LearnedDetectors, strangers: list[TrainingFace]
    ) -> None:
        area, pairs, real, fake = ranked(judges, "blend", strangers, 40)
        assert area > 0.62 and pairs > 0.7
        assert real < 0.5 and fake - real > 0.08

    @pytest.mark.vectors
    def test_so_are_those_of_seconds_that_were_not_learned_from(
        self, judges: LearnedDetectors, later_faces: list[TrainingFace]
    ) -> None:
        assert len(later_faces) >= 6
        area, pairs, real, fake = ranked(judges, "warp", later_faces, 5)
        assert area > 0.88 and pairs > 0.9 and real < 0.4 and fake > 0.6
        area, pairs, real, fake = ranked(judges, "blend", later_faces, 5)
        assert area > 0.64 and pairs > 0.7 and fake - real > 0.08


@pytest.mark.vectors
def test_what_was_pasted_is_found_better_than_by_chance(judges: LearnedDetectors, test_data: Path) -> None:
    scenes = []
    for path in sorted((test_data / "media").glob("*/*.mp4")):
        first = next(iter(open_footage(path)[0].frames(lambda index: index == 0)))
        scenes.append(train_splice.scene(path.stem, first.pixels))
    known = [one for one in scenes if one is not None]
    assert len(known) >= 8
    patches = train_splice.make_patches(known, 24, 4, 100)
    found = train_splice.measure(judges.splice[0], patches, known, range(len(known)), count=12, seed=3)
    assert len(found.precision) >= 10
    assert np.mean(found.precision) > 1.5 * np.mean(found.chance)
    assert found.pair_auc > 0.6


@pytest.mark.slow
@pytest.mark.vectors
def test_the_recipe_teaches_all_of_them(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As ``python -m synth.detect.training.train`` does it, with few people and few steps."""
    steps = {"warp": 200, "blend": 100, "splice": 100}
    media = test_data / "media"
    people = [str(media / "people" / f"{name}.mp4") for name in ("d18", "d19", "s29", "s32")]
    arguments = [*people, "--photos", str(media / "stills"), "-o", str(tmp_path), "--together", "d18,s29"]
    monkeypatch.setattr(train, "STEPS", steps)
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    threads = torch.get_num_threads()
    try:
        train.main()
    finally:
        torch.set_num_threads(threads)
    losses = [float(one) for one in re.findall(r"loss ([0-9.]+)", capsys.readouterr().out)]
    # each network of two groups and the final one, every hundred steps: warp, blend, then the splices' only one
    assert len(losses) == 3 * 2 + 3 + 1
    for early, late in zip(losses[0:6:2], losses[1:6:2], strict=True):
        assert late < early < 0.68 and late < 0.6
    assert all(one < 0.693 for one in losses[6:])  # what knowing nothing costs: the logarithm of 2
    for folder in (tmp_path / "fold-0", tmp_path / "fold-1"):
        LearnedDetectors(folder, joint=False)
    judges = LearnedDetectors(tmp_path)
    assert judges.joint is not None and judges.machine.slope >= 0
    rows = train.load_held_out(tmp_path)
    assert len(rows) == len(people) * 5 and {person for person, _, _ in rows} == {"d18", "d19", "s29", "s32"}
    assert {kind for _, kind, _ in rows} == {"filmed", "again", "blurred", "blended", "rebuilt"}
    warped = [
        train_faces.logits_of(judges.faces["warp"][0], part)
        for pool in [
            train_faces.make_pool("warp", material.photo_faces([_portrait()], FaceObserver()), 30, 5)
        ]
        for part in (pool.real, pool.fake)
    ]
    assert auc(warped[0].tolist(), warped[1].tolist()) > 0.7  # a stranger to what was taught just now
    taught = json.loads((tmp_path / train.RECORD_FILE).read_bytes())
    assert [name for name, _ in taught["footage"]] == ["d18", "d19", "s29", "s32"]
    assert taught["steps"] == steps and len(taught["photos"]) >= 10 and taught["code"]


@pytest.mark.vectors
def test_footage_is_taken_by_name_in_whatever_order_it_is_given(test_data: Path, tmp_path: Path) -> None:
    people = test_data / "media" / "people"
    one, other = people / "d18.mp4", people / "s20.mp4"
    assert train.footage_of([other, one]) == train.footage_of([one, other]) == [one, other]
    (tmp_path / "d18.mp4").write_bytes(one.read_bytes())
    with pytest.raises(UsageError, match="two videos are called d18"):
        train.footage_of([one, tmp_path])


def _portrait() -> np.ndarray:
    import skimage.data

    return np.asarray(skimage.data.astronaut())
