"""The one-shot attacker's cells of ``measure swap``: one generator for all, another published picture for each."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from provenance.errors import NoFaceError
from provenance.home import Home
from provenance.media.files import sha256_file
from synth.code_version import code_of_module
from synth.consent.permission import carried_permission
from synth.extraction.faceset import FaceSet
from synth.extraction.finder import FaceFinder
from synth.measure.attackers import Attacker
from synth.measure.cache import Cache, key_of
from synth.measure.conditions import CLEAN, Pixels
from synth.measure.experiment import AttackerFaces, Progress, Stop
from synth.measure.material import Material, attacked_footage, prepare_material
from synth.measure.measures import OWN_PICTURE
from synth.measure.oneshot.attack import OneShotJudge, measured
from synth.measure.oneshot.network import SIDE, OneShot
from synth.measure.oneshot.training import People, teach
from synth.measure.swap.cells import SwapJudge
from synth.measure.swap.faces import extract_for
from synth.measure.swap.options import SwapExperimentOptions
from synth.swap.features import DlibFeatures
from synth.swap.training.data import Bank

_MODULES = ("oneshot.attack", "oneshot.network", "oneshot.training", "swap.one_shot")


class OneShotCells:
    """One generator, taught on clean faces of the person, of the target's person and of further people, as somebody
    would have taught it long before.

    Args:
        person, target: footage. consent: of both, and of further people.
    """

    def __init__(
        self,
        person: Material,
        target: Material,
        consent: dict[str, dict[str, Any]],
        options: SwapExperimentOptions,
        cache: Cache,
    ) -> None:
        self.person, self.target, self.consent, self.options, self.cache = (
            person,
            target,
            consent,
            options,
            cache,
        )
        self._taught: OneShot | None = None
        self._network: DlibFeatures | None = None
        self._further: list[Material] | None = None

    def picture(self, variant: str, repeat: int) -> Pixels:
        """The published picture of a repetition: they are evenly spread."""
        return self._frame(self.person, variant, repeat)

    def _frame(self, material: Material, variant: str, repeat: int) -> Pixels:
        repeats = self.options.repeats
        count = sum(1 for _ in material.frames(CLEAN))
        places = np.linspace(0, count - 1, 2 * len(repeats) + 1).round().astype(int)[1::2]
        wanted = int(places[repeats.index(repeat)])
        return next(pixels for place, pixels in enumerate(material.frames(variant)) if place == wanted)

    def faces(self, variant: str, attacker: Attacker) -> AttackerFaces:
        """In how many of the pictures the attacker finds a face."""
        key = key_of("one-shot faces", {**attacked_footage(self.person, variant, attacker), **self._chosen()})
        done = self.cache.get(key)
        if done is not None:
            return AttackerFaces(**done)
        began, finder, seen = time.perf_counter(), self._finder(attacker), []
        digest = hashlib.sha256()
        for repeat in self.options.repeats:
            pixels = self.picture(variant, repeat)
            digest.update(pixels.tobytes())
            seen.append(any(face.is_face for face in finder.find(pixels)))
        counts = {"keep": sum(seen), "no-face": len(seen) - sum(seen)}
        seconds = round(time.perf_counter() - began, 2)
        found = AttackerFaces(len(seen), sum(seen), counts, "", digest.hexdigest(), seconds)
        return AttackerFaces(**self.cache.put(key, asdict(found)))

    def key(self, faces: AttackerFaces, repeat: int, judge: SwapJudge) -> str:
        """The cache's name of a cell."""
        chosen = {
            "pictures": faces.digest, "repeat": repeat, "clip": sha256_file(judge.clip), "footage": self._footage(),
            "identity": judge.identity.name if judge.identity else None, **self._chosen(),
        }  # fmt: skip
        return key_of("one-shot", chosen)

    def measure(
        self, variant: str, attacker: Attacker, repeat: int, judge: SwapJudge, stop: Stop, progress: Progress
    ) -> tuple[dict[str, Any], Pixels | None]:
        """One cell. Of clean data it says besides how often the target's own picture keeps the target's face
        (:data:`synth.measure.measures.OWN_PICTURE`): a generator that draws one person from every picture follows none.

        Raises:
            KeyboardInterrupt: ``stop`` said so; the training goes on there.
        """
        if judge.identity is None or judge.looks is None:
            return {"untrained": "no network that tells people apart is installed", "seconds": 0.0}, None
        swapper = self._swapper(stop, progress)
        own = OneShotJudge(
            self._finder(attacker), self._embedder(), judge.identity, judge.looks, judge.clip, judge.tracked
        )
        cell, faces = measured(self.picture(variant, repeat), swapper, own)
        if variant == CLEAN and "measures" in cell:
            began = time.perf_counter()
            kept, _ = measured(self._frame(self.target, CLEAN, repeat), swapper, own)
            taken = kept.get("measures", {}).get("swapped taken for the person")
            cell[OWN_PICTURE] = None if taken is None else round(1 - taken, 6)
            cell["seconds"] = round(cell["seconds"] + time.perf_counter() - began, 1)
        return cell, faces

    def _swapper(self, stop: Callable[[], bool], progress: Progress) -> OneShot:
        if self._taught is None:
            name = key_of("one-shot generator", {"footage": self._footage(), **self._chosen()})
            folder = self.cache.folder / "models" / name
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for _, consent in self._people():
                carried_permission(consent, Home.locate())
            banks = [self._bank(*one) for one in self._people()]
            network = self._embedder()
            people = People.of([bank for bank in banks if bank is not None], network)
            self._taught = teach(
                people, network, self.options.one_shot_steps, folder / "state.safetensors",
                device=self.options.device, stop=stop, progress=lambda share: progress(0.9 * share),
            )  # fmt: skip
        if self._taught is None:
            raise KeyboardInterrupt
        return self._taught

    def _people(self) -> list[tuple[Material, dict[str, Any]]]:
        if self._further is None:
            self._further = [prepare_material(path, self.options, self.cache) for path in self.options.people]
        further = [(one, self.consent[f"further {place}"]) for place, one in enumerate(self._further)]
        return [(self.person, self.consent["a"]), (self.target, self.consent["b"]), *further]

    def _bank(self, material: Material, consent: dict[str, Any]) -> Bank | None:
        """A person's clean faces; None where there is none."""
        options = replace(self.options, attackers=("attacked",))
        found = extract_for(material, CLEAN, Attacker.parse("attacked"), consent, options)
        if not found.kept:
            return None
        try:
            faces = FaceSet.load(self.cache.folder / "faces" / found.folder, size=SIDE)
        except NoFaceError:
            return None
        return Bank.of(faces, SIDE, self.options.device)

    def _embedder(self) -> DlibFeatures:
        self._network = self._network or DlibFeatures(SIDE, self.options.device)
        return self._network

    def _finder(self, attacker: Attacker) -> FaceFinder:
        return FaceFinder(attacker.detectors, self.options.device, self.options.weights, ask_all=True)

    def _footage(self) -> list[Any]:
        return [material.key for material, _ in self._people()]

    def _chosen(self) -> dict[str, Any]:
        return {
            "repeats": list(self.options.repeats),
            "steps": self.options.one_shot_steps,
            "code": [code_of_module(f"synth.measure.{name}") for name in _MODULES],
        }
