"""No public name of ``synth`` can leave a generated file behind that has no label.

By construction: pictures and films are written in few modules; what is generated there goes to an ``Unlabelled``, which
only a quarantine makes, and the functions that generate are private and called within a quarantine. And in fact: a swap
and a lip-sync are made, and killed in the middle, and every picture and film on the disk is looked at.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import pkgutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import synth
from provenance.errors import ConsentError, MediaError, UsageError
from provenance.home import Home
from provenance.media.formats import detect_format
from provenance.session import open_session
from provenance.trust.store import TrustStore
from provenance.verify import verify_file
from synth import LipsyncRequest, SwapRequest, make_lipsync, make_swap
from synth.lipsync.mouth.model import MouthOptions
from synth.lipsync.pipeline import LipsyncOptions
from synth.quarantine import FOLDER, Quarantine, Unlabelled, quarantine
from synth.swap.model import Generator
from synth.swap.training.checkpoint import MODEL_FILE, save_model
from tests.support.swap_faces import minute_preset, origin
from tests.support.video_clips import panned, write_clip
from tests.synth.lipsync.test_commands import shortened, write_wav

ROOT = Path(synth.__file__).parent
#: Modules that write or encode pictures and films, and what these show. A new one must say so here.
GENERATED = "generated: goes to an Unlabelled only"
WRITERS = {
    "synth.label": GENERATED,
    "synth.swap.conversion.footage": GENERATED,
    "synth.lipsync.pipeline": GENERATED,
    "synth.lipsync.film.film": GENERATED,
    "synth.lipsync.stage_recorder": GENERATED,
    "synth.measure.lipsync.cells": GENERATED,
    "synth.measure.lipsync.judge": GENERATED,
    "synth.detect.saved": "plots, and maps of a file that the person named",
    "synth.detect.maps": "maps of a file that the person named, in memory",
    "synth.detect.training.clips": "real footage, encoded again in memory",
    "synth.detect.training.histories": "real faces, encoded again in memory",
    "synth.extraction.sheet": "real faces",
    "synth.extraction.workspace": "real faces",
    "synth.measure.calibration": "the first frames of real footage, in a private folder",
    "synth.measure.clips": "writes what its callers give it: real footage, or into a quarantine",
    "synth.measure.pictures": "published pictures, encoded in memory",
    "synth.measure.swap.faces": "real footage, in a private folder",
}
#: Functions of those modules that write what was not generated: diagrams, and footage as it was filmed.
NOT_GENERATED = {"_picture", "real_scores"}
#: The only functions that call a renderer; each labels what was made, or measures it and lets it go.
DOORS = {"make_swap", "make_lipsync", "measure_generator"}
_SINKS = {
    "imencode", "imwrite", "encode_picture", "VideoWriter", "Writer", "Film", "write_clip", "write_pictures",
    "fromarray",
}  # fmt: skip


def modules() -> list[str]:
    return ["synth", *sorted(one.name for one in pkgutil.walk_packages(synth.__path__, "synth."))]


def tree(name: str) -> ast.Module:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    return ast.parse(Path(spec.origin).read_text())


def called(node: ast.AST) -> str:
    if isinstance(node, ast.Call):
        return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    return ""


def is_sink(node: ast.AST) -> bool:
    if called(node) in _SINKS:
        return True
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "av.open":
        return False
    return any(isinstance(one, ast.Constant) and one.value == "w" for one in node.args)


def functions(module: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef):
            yield node


def guarded(function: ast.FunctionDef) -> bool:
    """It takes an Unlabelled, or opens a quarantine, or writes to a place of one."""
    text = ast.unparse(function)
    return "Unlabelled" in ast.unparse(function.args) or ".place(" in text or "quarantine(" in text


def test_every_module_that_writes_pictures_is_known() -> None:
    found = {name for name in modules() if any(is_sink(node) for node in ast.walk(tree(name)))}
    assert found == set(WRITERS)


def test_whatever_writes_generated_pixels_writes_into_a_quarantine() -> None:
    seen = 0
    for name, what in WRITERS.items():
        if what is not GENERATED:
            continue
        for function in functions(tree(name)):
            if any(is_sink(node) for node in ast.walk(function)) and function.name not in NOT_GENERATED:
                seen += 1
                # a method writes into what its object was made with, which was an Unlabelled
                assert guarded(function) or function.name == "shower", f"{name}.{function.name}"
    assert seen >= 6


def test_renderers_are_called_in_a_quarantine_alone() -> None:
    callers = {}
    for name in modules():
        for function in functions(tree(name)):
            if any(called(node).startswith("_render_") for node in ast.walk(function)):
                callers[function.name] = function
    assert set(callers) == DOORS
    for function in callers.values():
        assert "quarantine(" in ast.unparse(function), function.name


def test_no_public_name_renders_to_a_path() -> None:
    """Walk every public function, class and method: what takes an ``Unlabelled`` cannot be called with anything else,
    and nothing but the quarantine makes one.
    """
    public = 0
    for name in modules():
        module = importlib.import_module(name)
        for word, thing in vars(module).items():
            if word.startswith("_") or getattr(thing, "__module__", None) != name:
                continue
            public += 1
            assert not word.startswith("render_"), f"{name}.{word}"
            taken = [thing, *(vars(thing).values() if inspect.isclass(thing) else ())]
            for one in taken:
                if inspect.isfunction(one) and "Unlabelled" in str(inspect.signature(one)):
                    assert (name, one.__name__) in {
                        ("synth.label", "label_generated"),
                        ("synth.lipsync.film.film", "__init__"),
                        ("synth.lipsync.stage_recorder", "__init__"),
                        ("synth.quarantine", "place"),
                    }
    assert public > 400
    makers = [name for name in modules() if "_MAKER" in ast.unparse(tree(name))]
    assert makers == ["synth.quarantine"]


def test_only_a_quarantine_makes_places_and_they_end_with_it(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        Quarantine(tmp_path, object())
    with quarantine() as private:
        with pytest.raises(TypeError):
            Unlabelled(private, "x.mp4", object())
        for wrong in ("../x.mp4", "a/b.mp4", "", ".."):
            with pytest.raises(UsageError):
                private.place(wrong)
        made = private.place("x.mp4")
        made.path.write_bytes(b"generated")
        folder = made.path.parent
        assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
        # what a killed process and its guard left is removed by the next
        stale = folder.parent / f"{2**22 + 7}-left"
        stale.mkdir()
        with quarantine() as other:
            assert not stale.exists() and made.path.exists() and other.folder != folder
    assert not folder.exists() and not folder.parent.exists()
    with pytest.raises(UsageError, match="gone"):
        _ = made.path


# ------------------------------------------------------------------------------------------------ real runs


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A generator that never learned: it makes a grey blur of any face."""
    torch.manual_seed(0)
    about = origin(minute_preset())
    save_model(tmp_path / "model" / MODEL_FILE, Generator(about.preset.architecture), about)
    return tmp_path / "model"


def media(folder: Path) -> set[Path]:
    """Every file below a folder that is a picture, a film or a sound, whatever it is called."""
    found = set()
    for path in folder.rglob("*"):
        try:
            if path.is_file() and detect_format(path).kind in ("image", "video", "audio"):
                found.add(path)
        except MediaError:
            continue
    return found


def all_labelled(folder: Path, before: set[Path], home: Home) -> set[Path]:
    """The media that came since, each of which carries the label of synthetic media."""
    new = media(folder) - before
    for path in new:
        verdict = verify_file(path, TrustStore.load(home))
        assert (verdict.state, verdict.relation) == ("trusted", "synthetic"), path
    return new


def test_a_swap_leaves_labelled_files_only(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray], portrait_files: dict[str, Path]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 4))
    before = media(tmp_path)
    with open_session(home) as session:
        with pytest.raises(ConsentError):
            make_swap(clip, tmp_path / "never.mp4", SwapRequest(model), session)
        assert media(tmp_path) == before
        request = SwapRequest(model, declared=True)
        told: list[float] = []
        film = make_swap(clip, tmp_path / "film.mp4", request, session, progress=told.append)
        picture = make_swap(portrait_files["astronaut"], tmp_path / "picture.png", request, session)
        assert (film.report.frames, film.report.swapped, film.marked, told[-1]) == (4, 4, True, 1)
        assert picture.to_json()["schema"] == "veilmark.swapped/1"
        # the label cannot be written: nothing stays
        (tmp_path / "taken.png.receipt").write_text("precious")
        with pytest.raises(UsageError):
            make_swap(portrait_files["astronaut"], tmp_path / "taken.png", request, session)
    assert all_labelled(tmp_path, before, home) == {film.output, picture.output}
    assert not (home.data / FOLDER).exists()


@pytest.mark.vectors
def test_a_lipsync_leaves_labelled_files_only(tmp_path: Path, home: Home, test_data: Path) -> None:
    target, sound = speech(tmp_path, test_data)
    before = media(tmp_path)
    options = LipsyncOptions(mouth=MouthOptions(epochs=2, units=8), prior=None)
    request = LipsyncRequest(options, declared=True, keep=tmp_path / "kept", work=tmp_path / "work")
    with open_session(home) as session:
        asked: list[str] = []
        stopped = make_lipsync(
            target, sound, tmp_path / "no.mp4", request, session,
            progress=lambda stage, _: asked.append(stage), stop=lambda: "picture" in asked,
        )  # fmt: skip
        assert stopped is None and media(tmp_path) == before, "stopped within the frames"
        made = make_lipsync(target, sound, tmp_path / "made.mp4", request, session)
    assert made is not None and made.output.exists()
    diagrams = {tmp_path / "kept" / name for name in ("1-sound.png", "3-timing.png")}
    new = all_labelled(tmp_path, before | diagrams, home)
    assert made.output in new and tmp_path / "kept" / "4-texture.mp4" in new


def speech(folder: Path, test_data: Path) -> tuple[Path, Path]:
    """A second and a half of a contracted model who speaks, and half a second of noise."""
    target = shortened(test_data / "media" / "talking" / "model1.mp4", folder / "target.mp4", 1.6, 480)
    noise = 0.2 * np.random.default_rng(0).standard_normal(6400)
    return target, write_wav(folder / "sound.wav", noise)


_KILLED = """
import os, signal, sys
from pathlib import Path
from provenance.home import Home
from provenance.session import open_session
from synth import LipsyncRequest, SwapRequest, make_lipsync, make_swap
import synth.lipsync.film.film, synth.swap.conversion.footage

kind, folder = sys.argv[1], Path(sys.argv[2])
writer = synth.swap.conversion.footage.Writer if kind == "swap" else synth.lipsync.film.film.Film
finish = writer.__exit__

def killed(self, *words, **more):
    finish(self, *words)
    for one in Path(os.environ["VEILMARK_HOME"], "unlabelled").rglob("*.mp4"):
        print(one, one.stat().st_size, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if len(sys.argv) > 3:  # while the labelled copy is made: complete, and not yet checked
    import provenance.sign
    provenance.sign._read_back = killed
    finish = lambda *_: None
else:
    writer.__exit__ = killed
with open_session(Home.locate()) as session:
    if kind == "swap":
        make_swap(folder / "clip.mp4", folder / "out.mp4", SwapRequest(folder / "model", declared=True), session)
    else:
        from synth.lipsync.mouth.model import MouthOptions
        from synth.lipsync.pipeline import LipsyncOptions
        options = LipsyncOptions(mouth=MouthOptions(epochs=1, units=8), prior=None)
        request = LipsyncRequest(options, declared=True, work=folder / "work")
        make_lipsync(folder / "target.mp4", folder / "sound.wav", folder / "out.mp4", request, session)
"""


def killed_in_the_middle(*kind: str, folder: Path) -> None:
    """Make one in a process that is killed when the film is complete and has no label, or has its label and has not
    left yet; nothing of it may be left.
    """
    before = media(folder)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, kind[0], str(folder), *kind[1:]],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    there, size = done.stdout.splitlines()[0].split()
    assert int(size) > 1000, "there was a film without a label when it was killed"
    end = time.monotonic() + 20
    while Path(there).parent.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(there).parent.exists(), "the guard removes it"
    assert media(folder) == before and not (folder / "out.mp4").exists()
    assert not list(folder.glob(".veilmark-*"))


@pytest.mark.parametrize("kind", [("swap",), ("swap", "labelling")])
def test_a_swap_that_is_killed_leaves_nothing(
    tmp_path: Path, home: Home, model: Path, portraits: dict[str, np.ndarray], kind: tuple[str, ...]
) -> None:
    write_clip(tmp_path / "clip.mp4", panned(portraits["astronaut"], 6))
    killed_in_the_middle(*kind, folder=tmp_path)


@pytest.mark.vectors
def test_a_lipsync_that_is_killed_leaves_nothing(tmp_path: Path, home: Home, test_data: Path) -> None:
    speech(tmp_path, test_data)
    killed_in_the_middle("lipsync", folder=tmp_path)
