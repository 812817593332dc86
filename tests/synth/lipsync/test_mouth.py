"""The mouth's network on sounds made up so that the right answer is known; its file; its exact resume."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from provenance.errors import CorruptMediaError, MissingPathError, UsageError
from synth.lipsync.mouth.audio import FEATURES, feature_times
from synth.lipsync.mouth.model import (
    SHAPE,
    MouthModel,
    MouthNet,
    MouthOptions,
    load_mouth,
    resampled,
    save_mouth,
    steps_of,
)
from synth.lipsync.mouth.train import SpeechClip, train_mouth

LEAD = 6
SMALL = MouthOptions(
    delay=8,
    context=0,
    held_out=0.15,
    units=16,
    coefficients=2,
    epochs=30,
    rate=1e-2,
    batch=20,
    noise=0.05,
    dropout=0.0,
)


def clip(count: int, seed: int, lead: int = LEAD) -> SpeechClip:
    """Features that wander; the mouth opens and widens with the first two, ``lead`` steps before they are heard."""
    random = np.random.default_rng(seed)
    raw = random.standard_normal((count + lead + 60, FEATURES))
    smooth = np.stack([np.convolve(column, np.hanning(15), "same") for column in raw.T], 1)[
        30 : 30 + count + lead
    ]
    heard = (smooth[:count] / 2.5).astype(np.float32)
    heard[:, 3:] = 0.5  # the rest says nothing
    ahead = smooth[lead : lead + count] / 2.5
    directions = np.zeros((2, SHAPE))
    directions[0, 1::4], directions[1, 0::4] = 1.0, 1.0
    shapes = 5.0 + 0.1 * (ahead[:, :2] @ directions)
    return SpeechClip(heard, shapes, np.ones(count, bool))


def error(model: MouthModel, test: SpeechClip) -> float:
    """As a share of the mean mouth's."""
    gap = ((model.predict_steps(test.features) - test.shapes) ** 2).sum()
    return float(gap / ((test.shapes - test.shapes.mean(0)) ** 2).sum())


def test_it_learns_and_the_delay_lets_it_see_ahead() -> None:
    taught, test = clip(700, 0), clip(300, 1)
    shown: list[float] = []
    late = train_mouth([taught], SMALL, progress=shown.append)
    at_once = train_mouth([taught], replace(SMALL, delay=0))
    assert error(late, test) < 0.2
    assert error(late, test) < 0.6 * error(at_once, test), "the mouth moves before the sound"
    assert shown[-1] == 1 and shown == sorted(shown) and late.notes["finished"]
    history = late.notes["history"]
    assert late.notes["held_out_error"] == pytest.approx(min(row[2] for row in history), abs=1e-4)


def test_a_stopped_run_goes_on_exactly(tmp_path: Path) -> None:
    taught, options = clip(400, 2), replace(SMALL, epochs=12, dropout=0.3, layers=2)
    whole = train_mouth([taught], options)
    file, asked = tmp_path / "run.safetensors", [0]

    def after_seven() -> bool:
        asked[0] += 1
        return asked[0] == 7

    half = train_mouth([taught], options, checkpoint=file, stop=after_seven)
    assert not half.notes["finished"] and half.notes["epochs"] == 7
    torch.manual_seed(99)
    again = train_mouth([taught], options, checkpoint=file)
    for name, weight in whole.net.state_dict().items():
        assert torch.equal(weight, again.net.state_dict()[name]), name
    assert again.notes["history"] == whole.notes["history"]
    other = train_mouth([clip(400, 3)], replace(options, epochs=2), checkpoint=file)
    assert other.notes["epochs"] == 2, "another run's checkpoint is not gone on from"
    file.write_bytes(b"damaged")
    assert train_mouth([taught], replace(options, epochs=1), checkpoint=file).notes["epochs"] == 1


def test_training_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    train_mouth([clip(200, 0)], replace(SMALL, epochs=1, dropout=0.5))
    assert torch.equal(torch.rand(3), wanted)


def test_adapting_begins_where_others_ended() -> None:
    others, mine, test = [clip(500, 4), clip(500, 5)], clip(200, 6), clip(300, 7)
    prior = train_mouth(others, SMALL)
    few = replace(SMALL, epochs=3, rate=1e-3)
    adapted, fresh = train_mouth([mine], few, start=prior), train_mouth([mine], few)
    assert error(adapted, test) < 0.5 * error(fresh, test)
    assert adapted.notes["adapted"] and (adapted.heard_mean == prior.heard_mean).all()
    moved = prior.of_person(mine.shapes + 3.0)
    gap = moved.predict_steps(test.features) - prior.predict_steps(test.features)
    assert gap == pytest.approx(np.broadcast_to(moved.mean - prior.mean, gap.shape))
    with pytest.raises(UsageError):
        prior.of_person(np.full((4, SHAPE), np.nan))


@pytest.mark.parametrize("delay", [0, 5, 10, 20, 40])
def test_what_is_said_comes_in_time_whatever_the_delay(delay: int) -> None:
    """A mouth that opens with what is heard, neither before nor after it: no lag may come in."""
    options = replace(SMALL, delay=delay, context=delay // 4, epochs=12, stride=10)
    model, test = train_mouth([clip(600, 0, lead=0)], options), clip(500, 1, lead=0)
    assert abs(lag(model.predict_steps(test.features), test.shapes)) <= 1
    frames = np.arange(120) / 25
    truth = resampled(test.shapes, feature_times(500), frames)
    assert abs(lag(model.predict(test.features, frames), truth)) <= 1


def lag(said: np.ndarray, truth: np.ndarray, most: int = 30) -> int:
    """By how many steps it comes late."""
    inner = slice(most, len(said) - most)
    known = truth[inner] - truth[inner].mean(0)

    def agreement(shift: int) -> float:
        moved = said[most + shift : len(said) - most + shift]
        return float(((moved - moved.mean(0)) * known).sum() / np.linalg.norm(moved - moved.mean(0)))

    return max(range(-most, most + 1), key=agreement)


@pytest.mark.parametrize(
    "kind", [{"bidirectional": True, "delay": 0}, {"layers": 2}, {"context": 5}, {"held_out": 0.0}]
)
def test_every_build_predicts_in_time(kind: dict[str, object], tmp_path: Path) -> None:
    options = MouthOptions(**{**asdict(SMALL), "epochs": 2, **kind})
    model = train_mouth([clip(300, 0)], options)
    heard = clip(250, 1).features
    assert model.predict_steps(heard).shape == (250, SHAPE)
    times = np.arange(70) / 25
    said = model.predict(heard, times)
    assert said.shape == (70, SHAPE) and said[-1] == pytest.approx(model.predict_steps(heard)[-1], abs=1e-6)
    save_mouth(tmp_path / "m.safetensors", model)
    back = load_mouth(tmp_path / "m.safetensors")
    assert (back.predict(heard, times) == said).all() and back.options == options
    with pytest.raises(UsageError):
        model.predict_steps(heard[:, :5])


def test_what_is_learned_ignores_frames_without_a_face() -> None:
    taught = clip(500, 0)
    wild = taught.shapes.copy()
    wild[200:260] = 1e3
    seen = taught.seen.copy()
    seen[200:260] = False
    options = replace(SMALL, epochs=4)
    one = train_mouth([SpeechClip(taught.features, wild, seen)], options)
    other = train_mouth([SpeechClip(taught.features, np.where(seen[:, None], wild, -7.0), seen)], options)
    assert (one.predict_steps(taught.features) == other.predict_steps(taught.features)).all()


def test_frames_to_steps() -> None:
    times = np.arange(10) / 25
    shapes = np.repeat(times[:, None], SHAPE, 1)
    shapes[4] = np.nan
    steps, seen = steps_of(shapes, times, 45)
    moments = feature_times(45)
    assert steps[seen] == pytest.approx(np.repeat(moments[seen, None], SHAPE, 1), abs=0.0051)
    assert not seen[(moments > 0.12) & (moments < 0.20)].any() and seen[:12].all() and seen[20:36].all()
    assert not seen[38:].any()
    assert not steps_of(np.full((5, SHAPE), np.nan), times[:5], 9)[1].any()
    between = resampled(np.array([[0.0], [1.0]]), np.array([0.0, 1.0]), np.array([-1, 0.25, 2]))
    assert between[:, 0].tolist() == [0, 0.25, 1]


def test_options_and_files_that_make_no_sense(tmp_path: Path) -> None:
    for wrong in (
        {"delay": -1},
        {"units": 0},
        {"epochs": 0},
        {"delay": 100},
        {"clip": 0.0},
        {"dropout": 1.0},
    ):
        with pytest.raises(UsageError):
            replace(MouthOptions(), **wrong).check()
    with pytest.raises(UsageError, match="expected more than"):
        train_mouth([clip(50, 0)], SMALL)
    with pytest.raises(MissingPathError):
        load_mouth(tmp_path / "none")
    good = tmp_path / "good.safetensors"
    save_mouth(good, MouthModel(SMALL, MouthNet(SMALL), np.zeros((2, SHAPE)), 1.0, np.zeros(SHAPE),
                                np.zeros(FEATURES), np.ones(FEATURES)))  # fmt: skip
    load_mouth(good)
    data = good.read_bytes()
    for name, broken in (
        ("cut", data[: len(data) // 2]),
        ("text", b"no model"),
        ("units", data.replace(b'\\"units\\": 16', b'\\"units\\": 17')),
        ("kind", data.replace(b"veilmark.mouth-model/2", b"veilmark.mouth-model/9")),
        ("scale", data.replace(b'\\"scale\\": 1.0', b'\\"scale\\": 0.0')),
    ):
        assert broken != data, name
        (tmp_path / name).write_bytes(broken)
        with pytest.raises(CorruptMediaError):
            load_mouth(tmp_path / name)
