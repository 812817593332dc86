"""What the detectors learn from and with: fakes made of one picture, histories, machines, calibration, networks."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.synth.auc_interval import auc_interval
from provenance.errors import CorruptMediaError, MissingModelError
from synth.detect.base import DETECTORS
from synth.detect.calibrate import Joint, auc, average_precision, fit_joint, fit_logistic
from synth.detect.learned import WEIGHTS, LearnedDetectors
from synth.detect.networks import svm
from synth.detect.networks.face import SIDE, FaceNet, prepared, saliency
from synth.detect.networks.splice import PATCH, SpliceNet, consistency, places
from synth.detect.pulse_features import FEATURES
from synth.detect.training import faces as train_faces
from synth.detect.training import pulse as train_pulse
from synth.detect.training import splice as train_splice
from synth.detect.training.clips import blurring
from synth.detect.training.histories import History, processed, random_history, spliced
from synth.detect.training.material import TrainingFace, folds
from synth.detect.training.selfmade import BlendRecipe, blend_recipe, self_made, warp_recipe
from synth.extraction.canonical import alignment, face_mask, transformed, warp
from synth.extraction.finder import FaceFinder


@pytest.fixture(scope="module")
def face(portraits: dict[str, np.ndarray]) -> TrainingFace:
    pixels = portraits["astronaut"]
    points = FaceFinder().find(pixels)[0].landmarks[:, :2].astype(np.float64)
    matrix = alignment(points, 192)
    return TrainingFace("collins", warp(pixels, matrix, 192), transformed(points, matrix).astype(np.float32))


class TestSelfMade:
    def test_nothing_changes_outside_of_the_mask_or_without_a_recipe(self, face: TrainingFace) -> None:
        random = np.random.default_rng(0)
        same, _ = self_made(face.pixels, face.points, BlendRecipe())
        assert np.array_equal(same, face.pixels)
        for recipe in [blend_recipe(random) for _ in range(8)] + [warp_recipe(random) for _ in range(8)]:
            made, mask = self_made(face.pixels, face.points, recipe)
            assert np.array_equal(made[mask == 0], face.pixels[mask == 0])
            assert 0.02 < mask.mean() < 0.5
            assert mask[face_mask(face.points, 192) == 0].mean() < 0.15

    def test_a_recipe_is_all_there_is_to_it(self, face: TrainingFace) -> None:
        recipe = blend_recipe(np.random.default_rng(3))
        first, _ = self_made(face.pixels, face.points, recipe)
        second, _ = self_made(face.pixels, face.points, recipe)
        assert np.array_equal(first, second)
        assert recipe == blend_recipe(np.random.default_rng(3))

    def test_warping_takes_detail_from_the_face(self, face: TrainingFace) -> None:
        made, mask = self_made(face.pixels, face.points, BlendRecipe(side=48, border=0.02))
        inside = mask > 0.9

        assert detail(made, inside) < 0.8 * detail(face.pixels, inside)


def detail(pixels: np.ndarray, where: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels[..., 1].astype(float), axis=1))[where[:, 1:]].mean())


class TestSoftness:
    def test_what_is_real_is_made_soft_everywhere(self, face: TrainingFace) -> None:
        random = np.random.default_rng(0)
        inside = face_mask(face.points, 192) > 127
        seen = []
        for _ in range(30):
            soft, side = train_faces.soft_footage_face(face.pixels, random)
            assert soft.shape == face.pixels.shape and 192 / train_faces.MOST_SOFT <= side <= 192
            shares = [detail(soft, one) / detail(face.pixels, one) for one in (inside, ~inside)]
            assert all(one <= 1.02 for one in shares)
            assert 0.4 < shares[0] / shares[1] < 2.5
            seen.append((side, shares[0]))
        assert any(side == 192 for side, _ in seen)
        softest, sharpest = min(seen), max(seen)
        assert softest[0] < 100 and softest[1] < 0.75 * sharpest[1]

    def test_a_blurred_clip_is_soft_in_its_face_and_around_it(self, face: TrainingFace) -> None:
        inside = face_mask(face.points, 192) > 127
        for seed in range(6):
            soft = blurring(np.random.default_rng(seed))(face.pixels, face.points.astype(np.float64))
            for where in (inside, ~inside):
                assert detail(soft, where) < 0.9 * detail(face.pixels, where)

    def test_a_fake_is_softer_than_what_it_is_made_from(self, face: TrainingFace) -> None:
        random = np.random.default_rng(1)
        for side in (192.0, 60.0):
            assert all(12 <= warp_recipe(random, side).side < 0.6 * side for _ in range(20))

    def test_the_network_sees_how_detail_is_spread_not_how_much_there_is(self) -> None:
        torch.manual_seed(0)
        network = FaceNet().eval()
        grain = 0.15 * torch.randn(1, 3, SIDE, SIDE)
        grain -= torch.nn.functional.avg_pool2d(grain, 7, stride=1, padding=3)
        where = torch.zeros(1, 1, SIDE, SIDE)
        where[..., 40:130, 40:130] = 1
        with torch.no_grad():
            strong, weak, uneven = (
                network.features(0.5 + one) for one in (grain, grain / 3, grain * (1 - 0.8 * where))
            )
        apart = float((strong - weak).abs().mean())
        assert apart < 0.3 * float((strong - uneven).abs().mean())


class TestHistories:
    def test_no_history_changes_nothing(self, portraits: dict[str, np.ndarray]) -> None:
        assert np.array_equal(
            processed(portraits["astronaut"], History(), np.random.default_rng(0)), portraits["astronaut"]
        )

    @pytest.mark.parametrize(
        "history",
        [
            History(demosaicing=1),
            History(demosaicing=2),
            History(noise=4),
            History(resampling=0.7),
            History(sharpening=1.0),
            History(sharpening=-1.0),
            History(quality=60),
        ],
    )
    def test_each_leaves_a_trace_and_the_picture(
        self, history: History, portraits: dict[str, np.ndarray]
    ) -> None:
        source = portraits["astronaut"]
        made = processed(source, history, np.random.default_rng(0))
        assert made.shape[0] == round(512 * history.resampling)
        if made.shape == source.shape:
            apart = np.abs(made.astype(float) - source).mean()
            assert 0.2 < apart < 9
        assert history.traits() != History().traits()

    def test_a_splice_is_where_it_is_said_to_be(self) -> None:
        random = np.random.default_rng(5)
        base, other = np.zeros((300, 400, 3), np.uint8), np.full((260, 380, 3), 255, np.uint8)
        for _ in range(10):
            whole, mask = spliced(base, other, random)
            assert np.array_equal(whole[..., 0] == 255, mask)
            assert 0.04 < mask.mean() < 0.35


class TestMachine:
    def test_it_decides_as_scikit_learn_does(self) -> None:
        svc = pytest.importorskip("sklearn.svm")
        random = np.random.default_rng(0)
        rows = []
        for number in range(12):
            fake = number % 2 == 1
            rows.append(train_pulse.Row(f"p{number}", fake, random.normal(0.8 * fake, 1, (4, len(FEATURES)))))
        machine = svm.loads(json.dumps(train_pulse.train_machine(rows).to_json()).encode())
        values = np.concatenate([row.values for row in rows])
        truth = np.repeat([row.fake for row in rows], 4)
        peer = svc.SVC(C=1.0, kernel="rbf", gamma=0.5 / len(FEATURES))
        scaled = (values - values.mean(0)) / values.std(0)
        peer.fit(scaled, truth.astype(int))
        assert machine.decide(values) == pytest.approx(peer.decision_function(scaled), abs=1e-3)
        held = train_pulse.held_out(rows, [[f"p{n}" for n in range(6)], [f"p{n}" for n in range(6, 12)]])
        calibrated = train_pulse.calibrated(machine, rows, held)
        assert calibrated.slope > 0

    @pytest.mark.parametrize(
        "change",
        [
            {"schema": "other/1"},
            {"support": [[1.0]]},
            {"gamma": -1.0},
            {"gamma": float("nan")},
            {"scale": [0.0] * len(FEATURES)},
            {"dual": "many"},
            {"mean": None},
        ],
    )
    def test_what_is_no_machine_is_refused(self, change: dict[str, object]) -> None:
        data = json.loads((WEIGHTS / "pulse.json").read_bytes())
        with pytest.raises(CorruptMediaError):
            svm.SupportVectorMachine.from_json({**data, **change})
        with pytest.raises(CorruptMediaError):
            svm.loads(b"[" * 100_000)


class TestCalibration:
    def test_areas_are_those_of_scikit_learn(self) -> None:
        metrics = pytest.importorskip("sklearn.metrics")
        random = np.random.default_rng(1)
        truth = random.random(200) < 0.3
        values = np.round(random.normal(truth * 0.7, 1), 1)  # with ties
        assert auc(values[~truth].tolist(), values[truth].tolist()) == pytest.approx(
            metrics.roc_auc_score(truth, values)
        )
        assert average_precision(values, truth) == pytest.approx(
            metrics.average_precision_score(truth, values)
        )

    def test_intervals_of_areas_are_those_of_people_drawn_one_by_one(self) -> None:
        random = np.random.default_rng(4)
        people = [f"p{number}" for number in range(9)]
        real = [(one, float(np.round(random.normal()))) for one in people for _ in range(3)]
        fake = [(one, float(np.round(random.normal(0.9)))) for one in people[1:] for _ in range(2)]
        areas = []
        for _ in range(1000):
            drawn = random.choice(people, len(people))
            won = [
                0.5 * ((b > a) + (b >= a))
                for first, one in enumerate(drawn)
                for second, other in enumerate(drawn)
                if first == second or one != other
                for who, a in real
                if who == one
                for whose, b in fake
                if whose == other
            ]
            areas.append(np.mean(won))
        found = auc_interval(real, fake)
        assert found is not None
        assert found == pytest.approx(np.quantile(areas, (0.025, 0.975)), abs=0.02)
        assert found == auc_interval(real[::-1], fake[::-1])

    def test_an_interval_lies_about_its_area_where_fakes_are_told_within_a_person_alone(self) -> None:
        random = np.random.default_rng(7)
        shift = random.normal(0, 3, 40)
        real = [(f"p{number}", float(one)) for number, one in enumerate(shift)]
        fake = [(f"p{number}", float(one) + 0.3) for number, one in enumerate(shift)]
        area = auc([one for _, one in real], [one for _, one in fake])
        found = auc_interval(real, fake)
        assert found is not None and found[0] < area < found[1]
        assert sum(found) / 2 == pytest.approx(area, abs=0.01)

    def test_clips_of_one_person_are_no_independent_evidence(self) -> None:
        random = np.random.default_rng(5)
        own = {f"p{number}": random.normal(0, 1.5) for number in range(8)}
        few = [[(who, shift + move) for who, shift in own.items()] for move in (0.0, 0.5)]
        many = [[one for one in part for _ in range(50)] for part in few]
        narrow, wide = (np.diff(auc_interval(*part) or (0, 0))[0] for part in (many, few))
        assert narrow == pytest.approx(wide, abs=0.02) and wide > 0.2
        assert auc_interval(few[0][:1], few[1][:1]) is None
        assert auc_interval(few[0], []) is None
        assert auc_interval([("a", 0.1), ("b", 0.2)], [("a", 0.8), ("b", 0.9)]) == (1.0, 1.0)

    def test_the_regression_is_that_of_scikit_learn(self) -> None:
        linear = pytest.importorskip("sklearn.linear_model")
        random = np.random.default_rng(2)
        truth = random.random(80) < 0.25
        values = random.normal(truth[:, None] * [1.0, 0.0, -0.5], 1)
        weights, offset = fit_logistic(values, truth, 3.0)
        peer = linear.LogisticRegression(C=1 / 3.0, class_weight="balanced", tol=1e-9).fit(values, truth)
        assert weights == pytest.approx(peer.coef_[0], abs=1e-4)
        assert offset == pytest.approx(peer.intercept_[0], abs=1e-4)

    def test_a_detector_that_could_not_judge_says_nothing(self) -> None:
        joint = Joint({"blink": 0.5, "warp": 1.0}, {"blink": 0.0, "warp": 0.0}, 0.0)
        assert joint.probability({"blink": None, "warp": None}) is None
        assert joint.probability({"warp": 0.5}) == pytest.approx(0.5)
        low, high = (joint.probability({"warp": one, "blink": None}) for one in (0.1, 0.9))
        assert low is not None and high is not None and low < 0.2 < 0.8 < high

    def test_a_detector_that_knows_nothing_gets_little_weight_and_none_is_turned_round(self) -> None:
        random = np.random.default_rng(3)
        truth = [bool(one) for one in random.random(60) < 0.5]
        rows = [
            {"warp": 0.8 if fake else 0.3, "blink": float(random.random()), "blend": 0.3 if fake else 0.8}
            for fake in truth
        ]
        joint = fit_joint(rows, truth, ["warp", "blink", "blend"])
        assert joint.weights["warp"] > 3 * joint.weights["blink"]
        assert joint.weights["blend"] == 0

    @given(st.dictionaries(st.sampled_from(list(DETECTORS)), st.one_of(st.none(), st.floats(0, 1))))
    def test_a_joint_score_is_a_probability(self, scores: dict[str, float | None]) -> None:
        found = Joint.loads((WEIGHTS / "joint.json").read_bytes()).probability(scores)
        assert found is None or 0 <= found <= 1

    def test_there_is_no_joint_score_of_those_who_hardly_count(self) -> None:
        joint = Joint.loads((WEIGHTS / "joint.json").read_bytes())
        assert joint.probability({"splice": 0.99}) is None
        assert joint.probability({"splice": 0.99, "pulse": 0.9}) is None
        assert joint.probability({"splice": 0.99, "warp": 0.9}) is None
        low, high = (joint.probability({"pulse": 0.5, "warp": one}) for one in (0.01, 0.99))
        assert low is not None and high is not None and low < 0.4 < 0.6 < high

    def test_the_shipped_joint_score_needs_blend_or_warp_and_pulse(self) -> None:
        """What docs/research/detect.md and Detection.joint say, over every set of detectors that could judge."""
        joint = Joint.loads((WEIGHTS / "joint.json").read_bytes())
        assert set(joint.weights) == {"warp", "blend", "pulse"}
        for count in range(4):
            for judged in map(set, itertools.combinations(joint.weights, count)):
                score = joint.probability(dict.fromkeys(judged, 0.7))
                assert (score is not None) == ("blend" in judged or judged >= {"warp", "pulse"}), judged
        text = (Path(__file__).parents[3] / "docs" / "research" / "detect.md").read_text()
        for name, weight in joint.weights.items():
            share = weight / sum(joint.weights.values())
            assert f"`{name}` {share:.0%}".replace("%", " %") in text

    def test_a_lip_sync_is_another_kind_of_fake_and_neither_kind_hides_the_other(self) -> None:
        """The joint odds are the mean of both odds; where lips cannot be judged they are the regression's."""
        joint = Joint({"warp": 1.0}, {"warp": 0.0}, 0.0)
        for face, lips in ((0.1, 0.9), (0.9, 0.1), (0.3, 0.2), (0.8, 0.8)):
            odds = (face / (1 - face) + lips / (1 - lips)) / 2
            assert joint.probability({"warp": face, "lips": lips}) == pytest.approx(odds / (1 + odds))
        assert joint.probability({"warp": 0.3, "lips": None}) == pytest.approx(0.3)
        assert joint.probability({"lips": 0.99}) is None

    @pytest.mark.parametrize("text", [b"{}", b"no", b'{"schema": "veilmark.detect-joint/1", "weights": 3}'])
    def test_what_is_no_calibration_is_refused(self, text: bytes) -> None:
        with pytest.raises(CorruptMediaError):
            Joint.loads(text)


class TestNetworks:
    def test_the_face_network_learns_what_warping_leaves(self, face: TrainingFace) -> None:
        pool = train_faces.make_pool("warp", [face], 12, 0)
        network = train_faces.train_network(pool, None, steps=40, seed=0, batch=16)
        real, fake = (train_faces.logits_of(network, one) for one in (pool.real, pool.fake))
        assert auc(real.tolist(), fake.tolist()) > 0.8
        maps = saliency(network, prepared([face.pixels]))
        assert maps.shape == (1, SIDE, SIDE) and maps.max() == pytest.approx(1) and maps.min() >= 0

    def test_the_pool_treats_both_alike(self, face: TrainingFace) -> None:
        pool = train_faces.make_pool("warp", [face], 4, 1)
        again = train_faces.make_pool("warp", [face], 4, 1)
        assert np.array_equal(pool.real, again.real) and np.array_equal(pool.fake, again.fake)
        # corners lie outside of every mask: the same treatment leaves the same pixels, but for JPEG's rounding
        corner = np.s_[:, :12, :12]
        assert np.abs(pool.real[corner].astype(int) - pool.fake[corner]).mean() < 2

    def test_the_splice_network_learns(self, portraits: dict[str, np.ndarray]) -> None:
        scenes = [train_splice.scene(name, pixels) for name, pixels in portraits.items()]
        patches = train_splice.make_patches([one for one in scenes if one], 8, 8, 0)
        losses: list[str] = []
        network = train_splice.train_network(patches, [0, 1], steps=100, seed=0, batch=32, say=losses.append)
        assert float(losses[-1].rpartition(" ")[2]) < 0.69
        assert isinstance(network, SpliceNet)

    def test_patches_lie_inside_and_are_not_too_many(self) -> None:
        for height, width in ((PATCH, PATCH), (200, 1024), (1024, 1024)):
            found = places(height, width)
            assert 1 <= len(found) <= 450
            assert (found >= 0).all() and (found + PATCH <= (width, height)).all()
        assert consistency(SpliceNet().eval(), np.zeros((50, 500, 3), np.uint8)) is None
        assert consistency(SpliceNet().eval(), np.zeros((500, 500, 3), np.uint8)) is None

    def test_people_are_held_out_once_and_pairs_together(self) -> None:
        people = [f"p{number}" for number in range(13)]
        groups = folds(people, 3, ["p3", "p11"])
        assert sorted(one for group in groups for one in group) == sorted(people)
        assert {"p3", "p11"} <= set(groups[0])
        assert max(len(group) for group in groups) - min(len(group) for group in groups) <= 1


class TestShipped:
    def test_the_weights_are_small_and_load(self) -> None:
        sizes = {path.name: path.stat().st_size for path in WEIGHTS.iterdir() if path.is_file()}
        assert set(sizes) == {
            "pulse.json",
            "joint.json",
            "lips.json",
            "lips-taught.json",
            "warp.safetensors",
            "blend.safetensors",
            "splice.safetensors",
            "taught.json",
        }
        assert all(size < 1_500_000 for size in sizes.values())
        judges = LearnedDetectors()
        for network, slope, offset in (*judges.faces.values(), judges.splice):
            assert all(torch.isfinite(one).all() for one in network.state_dict().values())
            assert slope > 0 and np.isfinite(offset)
        assert judges.joint is not None and max(judges.joint.weights.values()) > 0

    def test_missing_and_foreign_weights_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(MissingModelError):
            LearnedDetectors(tmp_path)
        for path in WEIGHTS.iterdir():
            if path.is_file():
                (tmp_path / path.name).write_bytes(path.read_bytes())
        (tmp_path / "warp.safetensors").write_bytes((tmp_path / "splice.safetensors").read_bytes())
        with pytest.raises(CorruptMediaError, match="no such network"):
            LearnedDetectors(tmp_path)

    def test_histories_are_drawn_from_all(self) -> None:
        random = np.random.default_rng(0)
        drawn = [random_history(random) for _ in range(200)]
        assert len({one.quality for one in drawn}) > 5 and {one.demosaicing for one in drawn} == {0, 1, 2}
        assert FaceNet()(torch.zeros(2, 3, SIDE, SIDE)).shape == (2,)


def test_the_benchmark_prints_and_returns_each_clip_and_each_area_with_its_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from benchmarks.synth import detect as benchmark

    random = np.random.default_rng(6)
    rows: list[tuple[str, str, dict[str, float | None]]] = []
    for number in range(8):
        for kind in ("filmed", "again", "blurred", "blended"):
            scores: dict[str, float | None] = {
                name: float(random.random() + 0.4 * (kind == "blended")) / 1.4 for name in DETECTORS
            }
            rows.append((f"p{number}", kind, {**scores, "pulse": None, "joint": scores["warp"]}))
    found = benchmark.report(rows)
    shown = capsys.readouterr().out
    assert len(found["clips"]) == 32
    for clip in found["clips"]:
        assert (
            f"{clip['person']:<10} {clip['kind']:<11}" in shown and f"{clip['scores']['warp']:.2f}" in shown
        )
    areas = {(one["detector"], one["kind"], tuple(one["against"])): one for one in found["areas"]}
    one = areas["warp", "blended", benchmark.REAL]
    assert one["clips"] == [8, 24] and one["people"] == 8 and one["low"] <= one["area"] <= one["high"]
    assert f"{one['area']:.2f} {one['low']:.2f}-{one['high']:.2f} (8/24)" in shown
    assert areas["warp", "blurred", ("filmed",)]["clips"] == [8, 8]
    assert areas["pulse", "blended", ("filmed",)]["area"] is None
    assert found["joint"]["clips"] == 32 and sum(part["clips"] for part in found["joint"]["bins"]) == 32
    json.dumps(found, allow_nan=False)
