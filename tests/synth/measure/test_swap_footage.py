"""``measure swap``: what of the footage is published, what is held out, and the whole protocol."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from provenance.errors import NoFaceError
from provenance.home import Home
from provenance.media.files import sha256_file
from synth.code_version import code_of_module
from synth.consent.permission import permission_for
from synth.measure import material, split
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache
from synth.measure.conditions import CLEAN
from synth.measure.experiment import Result
from synth.measure.material import prepare_material, published_key
from synth.measure.split import Split, split_of
from synth.measure.stats import paired
from synth.measure.summary.report import experiment_report
from synth.measure.swap.experiment import measure_swap
from synth.measure.swap.faces import extract_for, faces_key, held_out_faces
from synth.measure.swap.options import SwapExperimentOptions
from synth.swap.training.checkpoint import load_model
from synth.swap.training.data import Bank
from synth.swap.training.train import train
from synth.swap.training.validation import held_out_measures
from tests.support.clips import film, wandering
from tests.support.swap_faces import DECLARED, Jittered, minute_preset, origin

TOY = SwapExperimentOptions(
    steps=10, seeds=(1, 2), attackers=("naive",), frames=24, held_out=6, side=320, cloak_steps=2, cloak_rounds=1,
    against=("blazeface-back",), veils=("noise",), cloak_seeds=(0,),
)  # fmt: skip
CLOAKED = "noise mid"


@pytest.fixture(scope="module")
def walk(portraits: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of one portrait; nothing is generated of it."""
    return film(tmp_path_factory.mktemp("walk") / "walk.mp4", wandering(portraits["astronaut"], 30))


@pytest.mark.parametrize(
    ("count", "rate", "published", "held_out"),
    [
        (250, 25.0, 175, 200),  # a second
        (300, 30.0, 210, 240),
        (3000, 25.0, 2375, 2400),
        (150, 25.0, 105, 120),  # six seconds: a tenth of them
        (30, 25.0, 21, 24),
        (26, 25.0, 20, 21),  # no fewer are published than twenty
        (25, 25.0, 20, 20),
        (1000, None, 775, 800),
        (60, None, 42, 48),
    ],
)
def test_footage_is_published_first_then_left_out_and_then_held_out(
    count: int, rate: float | None, published: int, held_out: int
) -> None:
    found = split_of(count, rate)
    assert found == Split(published, held_out, count) and found.gap == held_out - published


@given(st.integers(0, 5000), st.one_of(st.none(), st.floats(1, 240)))
def test_a_split_leaves_enough_of_both(count: int, rate: float | None) -> None:
    found = split_of(count, rate)
    if found is None:
        assert count < 26
    else:
        assert 20 <= found.published <= found.held_out <= count - 2 and found.gap <= count / 10
        assert found.held_out == round(0.8 * count)


def marked(path: Path, count: int, rate: int = 25) -> Path:
    """A clip whose frames say their number by how far from the left they are white."""
    frames = [np.zeros((64, 256, 3), np.uint8) for _ in range(count)]
    for index, pixels in enumerate(frames):
        pixels[:, : 2 * index] = 255
    return film(path, frames, rate=rate)


def numbers(frames: Iterable[np.ndarray]) -> list[int]:
    return [round(float(one.mean()) / 255 * 256 / 2) for one in frames]


def test_a_second_lies_between_what_is_published_and_what_is_held_out(tmp_path: Path) -> None:
    options = replace(TOY, frames=1000, held_out=1000)
    made = prepare_material(marked(tmp_path / "clip.mp4", 120, rate=10), options, Cache(tmp_path / "work"))
    published, late = numbers(made.frames(CLEAN)), numbers(made.held_out())
    assert published == list(range(86))
    assert late == list(range(96, 120)) and made.gap == 10
    assert numbers(made.after()) == list(range(86, 120))
    assert made.note == ""
    short = prepare_material(marked(tmp_path / "short.mp4", 50), options, Cache(tmp_path / "work"))
    assert short.gap == 5 and "0.2 s after" in short.note and "not 1 s" in short.note
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(40):
        Image.fromarray(np.full((64, 64, 3), 30 + index, np.uint8)).save(folder / f"{index:03}.png")
    pictures = prepare_material(folder, options, Cache(tmp_path / "work"))
    assert [int(pair.original.stem) for pair in pictures.pairs] == list(range(28))
    assert [int(path.stem) for path in pictures.held_out_files] == list(range(32, 40)) and pictures.gap == 4


def test_another_split_is_another_measurement(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was published under the rule of before is not taken for what this one publishes."""
    before = published_key(["digest"], TOY)
    monkeypatch.setattr(material, "code_of_module", lambda name: f"another {name}")
    assert published_key(["digest"], TOY) != before
    monkeypatch.undo()
    assert published_key(["digest"], TOY) == before
    assert code_of_module("synth.measure.split") == sha256_file(Path(split.__file__))
    with pytest.raises(ModuleNotFoundError):
        code_of_module("synth.measure")
    with pytest.raises(ModuleNotFoundError):
        code_of_module("synth.measure.nothing")


def test_what_is_published_and_what_is_held_out(walk: Path, tmp_path: Path) -> None:
    """The last fifth is in nothing that is published; clean data extracts the same for a naive attacker and for one
    with clean data mixed in, and is extracted once.
    """
    cache = Cache(tmp_path / "work")
    made = prepare_material(walk, TOY, cache)
    published, late = list(made.frames(CLEAN)), list(made.held_out())
    assert (len(published), len(late)) == (21, 6)
    nearest = min(float(np.abs(a.astype(int) - b).mean()) for a in published[:18] for b in late)
    assert nearest > 2
    assert published_key(made.digests, TOY) != published_key(made.digests, replace(TOY, crf=30))
    consent = permission_for([walk], Home.locate(), declared=True).to_json()
    naive, mixed = Attacker.parse("attacked"), Attacker.parse("mixes:50")
    assert faces_key(made, CLEAN, naive, TOY) == faces_key(made, CLEAN, mixed, TOY)
    assert faces_key(made, CLOAKED, naive, TOY) != faces_key(made, CLOAKED, mixed, TOY)
    first = extract_for(made, CLEAN, naive, consent, TOY)
    assert first.frames == 21 and first.kept >= 18
    assert extract_for(made, CLEAN, mixed, consent, TOY) == first
    assert not list(cache.folder.glob("scratch-*"))
    # data destroyed: the extraction shows it
    blank = replace(
        made, clips={CLEAN: film(tmp_path / "blank.mp4", [np.full((320, 320, 3), 90, np.uint8)] * 24)}
    )
    blank.digests = ["blank"]
    gone = extract_for(blank, CLEAN, naive, consent, TOY)
    assert (gone.frames, gone.kept, gone.folder) == (24, 0, "")


def test_faces_that_are_all_refused_are_no_faces(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """A generator that cannot be trained is a result; held-out frames that cannot be measured with are an error that
    says what was wrong with them.
    """
    frames = wandering(portraits["astronaut"], 30, (128, 128))  # a face of 25 pixels
    path, cache = film(tmp_path / "far.mp4", frames), Cache(tmp_path / "work")
    made = prepare_material(path, TOY, cache)
    consent = permission_for([path], Home.locate(), declared=True).to_json()
    got = extract_for(made, CLEAN, Attacker.parse("naive"), consent, TOY)
    assert (got.frames, got.kept, got.folder, got.counts) == (21, 0, "", {"too-small": 21})
    with pytest.raises(NoFaceError, match=r"far\.mp4 shows a face to measure with \(\d too-small") as caught:
        held_out_faces(made, consent, TOY)
    assert "--side" in str(caught.value.hint)


@pytest.mark.slow
def test_destroyed_data_make_a_worse_generator(portraits: dict[str, np.ndarray], tmp_path: Path) -> None:
    """Each portrait only ever rebuilt as itself: learned from faces, or from noise in their place."""
    clean = {
        side: Bank.of(Jittered.of(portraits[name], 30, seed), 64, "cpu")
        for seed, (side, name) in enumerate((("a", "astronaut"), ("b", "hopper")))
    }
    draws = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 255, clean["a"].pixels.shape, generator=draws, dtype=torch.uint8)
    destroyed = {**clean, "a": Bank(noise, clean["a"].masks, clean["a"].details)}
    unseen = Bank.of(Jittered.of(portraits["astronaut"], 8, 99), 64, "cpu")
    found: dict[str, list[float]] = {"clean": [], "destroyed": []}
    chosen = minute_preset(32, generator_share=1.0, critic_share=0.0, check_every=32, batch=4, rate=4e-3)
    for name, banks in (("clean", clean), ("destroyed", destroyed)):
        for seed in (1, 2, 3):
            folder = tmp_path / f"{name}{seed}"
            train(banks, origin(chosen, seed=seed), folder)
            generator, _ = load_model(folder)
            found[name].append(held_out_measures(generator, {"a": unseen}, None)["ssim"])
    effect = paired(found["clean"], found["destroyed"])
    assert effect.difference.high is not None and effect.difference.high < 0
    assert effect.p == 0.25  # all that three seeds can say
    assert DECLARED["basis"] == "declared"


@pytest.mark.slow
@pytest.mark.vectors
def test_the_whole_protocol_stops_and_goes_on(test_data: Path, tmp_path: Path) -> None:
    """Two contracted models, some frames each: stopped in a training, taken up again, and nothing generated is left."""
    clips = {}
    for side, name in (("a", "model1"), ("b", "model2")):
        from synth.extraction.footage import open_footage

        source = open_footage(test_data / "media" / "talking" / f"{name}.mp4")[0]
        frames = [cv2.resize(raw.pixels, (270, 480)) for raw in source.frames(lambda index: index < 34)]
        clips[side] = film(tmp_path / f"{side}.mp4", frames)
    home, cache = Home.locate(), Cache(tmp_path / "work")
    consent = {side: permission_for([path], home, declared=True).to_json() for side, path in clips.items()}
    options, labelled = replace(TOY, frames=24, steps=12, side=480), []

    def run(stop: Any) -> Result:
        return measure_swap(
            clips["a"], clips["b"], consent, options, cache, stop=stop,
            label=lambda pixels, path, seed: labelled.append((pixels.shape, seed)),
        )  # fmt: skip

    asked = iter(range(10**6))
    with pytest.raises(KeyboardInterrupt):
        run(lambda: (cache.folder / "models").exists() and next(asked) >= 4)
    left = list((cache.folder / "models").rglob("checkpoint.safetensors"))
    assert len(left) == 1
    result = run(lambda: False)
    assert len(result.cells) == 6 and result.faces[CLEAN, "naive"].kept >= 20
    measured = [cell["measures"] for cell in result.cells.values() if "measures" in cell]
    assert measured and all(math.isfinite(one["rebuilt ssim"]) for one in measured)
    assert all(shape == (320, 480, 3) for shape, _ in labelled)
    assert not (cache.folder / "models").exists() and not list(cache.folder.glob("scratch-*"))
    again = run(lambda: False)
    assert again.cells == result.cells and again.seconds == result.seconds
    # ten steps teach nothing, and the report says so instead of a difference
    assert experiment_report(result).headline.startswith("Instrument too weak, nothing measured")
