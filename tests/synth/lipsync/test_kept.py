"""What lip-sync keeps of a person between runs: the mouth model, and when it is not taken."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from synth.lipsync import person as person_module
from synth.lipsync.mouth.adapt import PRIOR
from synth.lipsync.mouth.expression import upper_faces
from synth.lipsync.mouth.model import MouthOptions
from synth.lipsync.person import Person, mouth_model_for
from synth.lipsync.shape import mouth_shapes
from synth.lipsync.workspace import Workspace
from tests.synth.lipsync.lipsync_face import speaking
from tests.synth.lipsync.test_prior import syllables


@pytest.fixture(scope="module")
def person() -> Person:
    track, frames, _ = speaking(150)
    sound, _ = syllables(6)
    return Person(
        Path("x.mp4"), "1" * 64, SimpleNamespace(rate=25), track, mouth_shapes(track), sound,  # type: ignore[arg-type]
        upper_faces(track, frames),
    )  # fmt: skip


def test_a_mouth_that_was_fitted_is_taken_again(person: Person, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    first, kept = mouth_model_for(person, workspace, MouthOptions(), prior=PRIOR)
    assert not kept
    again, kept = mouth_model_for(person, workspace, MouthOptions(), prior=PRIOR)
    assert kept
    heard = np.random.default_rng(0).standard_normal((120, 28)).astype(np.float32)
    assert np.allclose(again.predict_steps(heard), first.predict_steps(heard), atol=1e-5)
    (file,) = tmp_path.rglob("mouth-*.safetensors")
    # a damaged one is made anew
    file.write_bytes(file.read_bytes()[:200])
    _, kept = mouth_model_for(person, workspace, MouthOptions(), prior=PRIOR)
    assert not kept


@pytest.mark.parametrize("other", ["share", "options", "person", "code", "prior"])
def test_no_other_mouth_is_taken(
    other: str, person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    workspace = Workspace(tmp_path)
    mouth_model_for(person, workspace, MouthOptions(), prior=PRIOR)
    asked, options, prior, until = person, MouthOptions(), PRIOR, 1.0
    if other == "share":
        until = 0.7
    elif other == "options":
        options = replace(options, context=2)
    elif other == "person":
        asked = replace(person, sha256="2" * 64)
    elif other == "prior":
        from synth.lipsync.mouth.model import load_mouth, save_mouth

        changed = load_mouth(PRIOR)
        prior = tmp_path / "other.safetensors"
        save_mouth(prior, replace(changed, mean=changed.mean * 1.01))
    else:
        monkeypatch.setattr(person_module, "code_of_module", lambda name: f"other {name}")
    _, kept = mouth_model_for(asked, workspace, options, prior=prior, until=until)
    assert not kept
