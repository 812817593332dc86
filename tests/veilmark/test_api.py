"""The public Python API: light, complete, typed, and the same as the command."""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_type_hints

import pytest

import cloak
import provenance
import synth
import veilmark
from cloak.options import CloakOptions
from provenance import errors
from provenance.sealed.keys import published_key
from provenance.version import VERSION
from synth.measure.swap.options import SwapExperimentOptions
from synth.swap.conversion.convert import ConvertOptions
from tests.support.swap_faces import minute_preset, origin
from veilmark.choices import CloakChoices, ConvertChoices, MeasureChoices

HEAVY = ("torch", "web3", "cv2", "c2pa", "numpy", "PIL", "av", "typer", "eth_account", "cryptography")


def python(*words: str) -> str:
    path = os.pathsep.join(filter(None, [str(Path(veilmark.__file__).parents[1]), *sys.path]))
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_it_imports_nothing_heavy() -> None:
    code = f"import sys, veilmark; veilmark.open; print([one for one in {HEAVY!r} if one in sys.modules])"
    assert python("-c", code).strip() == "[]"


def test_verifying_and_signing_need_neither_torch_nor_web3(portrait_files: dict[str, Path]) -> None:
    code = """
import sys, veilmark
path = sys.argv[1]
with veilmark.open() as v:
    assert v.verify(path).state is veilmark.State.NO_CREDENTIAL
    assert not v.home.data.exists(), "verifying makes nothing"
    try:
        v.sign(path)
    except veilmark.NotInitializedError as error:
        assert error.hint
    v.initialize("Ada")
    print(v.verify(v.sign(path).output).state.value)
print([one for one in ("torch", "web3") if one in sys.modules])
"""
    assert python("-c", code, str(portrait_files["hopper"])).split("\n")[:2] == ["trusted", "[]"]


def test_every_error_is_exported() -> None:
    for package in (provenance, cloak, synth):
        for one in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(one.name)

    def below(kind: type[errors.VeilmarkError]) -> set[type[errors.VeilmarkError]]:
        return {kind}.union(*(below(one) for one in kind.__subclasses__()))

    named = {
        name for name, one in vars(errors).items() if inspect.isclass(one) and issubclass(one, Exception)
    }
    assert named <= set(veilmark.__all__)
    for error in below(errors.VeilmarkError):
        own = [one for one in error.__mro__ if one.__name__ in veilmark.__all__]
        assert (own and own[0] is not errors.VeilmarkError) or error is errors.VeilmarkError, error
    assert {"ExitCode", *named} <= set(veilmark.__all__)


def test_every_result_is_exported_and_every_method_says_what_it_raises() -> None:
    for name, method in inspect.getmembers(veilmark.Veilmark, inspect.isfunction):
        if name.startswith("_") or name == "close":
            continue
        assert method.__doc__ and "Raises:" in method.__doc__, name
        result = str(inspect.signature(method).return_annotation)
        for one in result.replace("list[", "").replace("]", "").split(" | "):
            assert one in veilmark.__all__, f"{name} returns {one}"


@pytest.mark.parametrize(
    ("choices", "options", "besides"),
    [
        (CloakChoices, CloakOptions, set()),
        (ConvertChoices, ConvertOptions, set()),
        (MeasureChoices, SwapExperimentOptions, {"preset"}),
    ],
)
def test_choices_are_the_options(choices: type, options: type, besides: set[str]) -> None:
    assert set(get_type_hints(choices)) | besides == {one.name for one in fields(options)}


def test_module_runs_the_command() -> None:
    assert python("-m", "veilmark", "--version").strip() == f"veilmark {VERSION}"


def test_sign_record_find_and_cloak_in_one_session(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    portrait = portrait_files["astronaut"]
    with veilmark.open(tmp_path / "state") as v:
        v.initialize("Ada Photographer")
        with pytest.raises(veilmark.IdentityError):
            v.initialize("Somebody Else")
        signed = v.sign(portrait, author="Ada", location=(48.1, 11.6))
        assert signed.output == portrait.with_name("astronaut.signed.jpg")
        with pytest.raises(veilmark.OutputExistsError):
            v.sign(portrait)
        assert v.record(portrait_files["hopper"]).index == 1
        cloaked = v.cloak(str(signed.output), detectors=["blazeface-short"], judges=[], steps=2, rounds=1)
        assert cloaked.output.name == "astronaut.signed.cloaked.jpg" and cloaked.signed is not None
        verdict = v.verify(cloaked.output)
        assert (verdict.state, verdict.relation) == (veilmark.State.TRUSTED, "cloaked")
        assert v.find(signed.output)[0].index == 0, "what was signed since it was opened is found"
        with pytest.raises(veilmark.UsageError, match="no option is called 'strenth'"):
            v.cloak(portrait, strenth="high")  # type: ignore[call-arg]
        with pytest.raises(veilmark.MissingPathError):
            v.cloak(tmp_path / "none.jpg")
    # what was closed opens again
    assert v.verify(signed.output).state is veilmark.State.TRUSTED
    v.close()
    with veilmark.open(tmp_path / "nobody") as other, pytest.raises(veilmark.NotInitializedError):
        other.find(portrait)


def test_a_reversible_cloak_comes_off(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    with veilmark.open(tmp_path / "olive") as olive, veilmark.open(tmp_path / "anna") as anna:
        for one, name in ((olive, "Olive"), (anna, "Anna")):
            one.initialize(name)
        key = str(published_key(anna.home, "default"))
        signed = olive.sign(portrait_files["hopper"], output=tmp_path / "signed.jpg").output
        cloaked = olive.cloak(
            signed, tmp_path / "cloaked.jpg", reversible=True, detectors=["centerface"], judges=[], steps=1
        )
        done = olive.uncloak(cloaked.output, tmp_path / "back.jpg")
        assert (tmp_path / "back.jpg").read_bytes() == signed.read_bytes() and done.trusted
        (tmp_path / "anna.grant").write_bytes(olive.grant(cloaked.output, [key])[0].data)
        with pytest.raises(veilmark.StoreError, match="not in the store"):
            anna.uncloak(cloaked.output, tmp_path / "a.jpg", grants=[tmp_path / "anna.grant"])
        with pytest.raises(veilmark.UsageError, match="signed result"):
            olive.cloak(signed, tmp_path / "never.jpg", reversible=True, sign=False)


def test_a_swap_needs_consent_and_is_labelled(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    from synth.swap.model import Generator
    from synth.swap.training.checkpoint import MODEL_FILE, save_model

    about = origin(minute_preset())
    save_model(tmp_path / "model" / MODEL_FILE, Generator(about.preset.architecture), about)
    portrait, output = portrait_files["astronaut"], tmp_path / "made.png"
    with veilmark.open(tmp_path / "state") as v:
        with pytest.raises(veilmark.NotInitializedError):
            v.make_swap(portrait, output, model=tmp_path / "model", i_have_consent=True)
        v.initialize("Researcher")
        with pytest.raises(veilmark.ConsentError):
            v.make_swap(portrait, output, model=tmp_path / "model")
        assert not output.exists()
        made = v.make_swap(portrait, output, model=tmp_path / "model", to="a", i_have_consent=True)
        assert (made.report.swapped, v.verify(output).relation) == (1, "synthetic")
        found = v.detect(output, detectors=["blend"])
        assert set(found.scores) == {"blend"}


def test_more_is_said_and_something_taken_back(portrait_files: dict[str, Path], tmp_path: Path) -> None:
    with veilmark.open(tmp_path / "home") as v:
        v.initialize("Ada")
        first = v.sign(portrait_files["hopper"], tmp_path / "first.jpg", location=(48.1, 11.6)).output
        less = v.sign(first, tmp_path / "less.jpg", update=True, redactions=["c2pa.metadata"]).output
        assert b"GPSLatitude" in first.read_bytes() and b"GPSLatitude" not in less.read_bytes()
        verdict = v.verify(less)
        assert verdict.state is veilmark.State.TRUSTED
        assert verdict.ingredients[0]["standing"] == "trusted"
        remote = v.sign(
            portrait_files["hopper"], tmp_path / "far.jpg", remote_url="https://example.org/far.c2pa"
        )
        assert remote.sidecar == tmp_path / "far.jpg.c2pa"
        assert v.verify(remote.output).state is veilmark.State.TRUSTED
