"""Whether the card computes what the CPU does: networks, losses, veils, each with its tolerance. TF32 is off."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.swap import _faces
from cloak import detectors
from cloak.recognition.face_mesh import FaceMesh
from cloak.veils import VeilName, veil_of
from cloak.veils.base import Canvas
from cloak.veils.flip import Flip
from provenance.errors import VeilmarkError
from synth.measure.denoiser import Denoiser
from synth.measure.oneshot.network import OneShot
from synth.swap.config import preset
from synth.swap.features import load_features
from synth.swap.model import Generator
from synth.swap.training.augment import augmented
from synth.swap.training.losses import reconstruction

#: Largest difference, as a share of the largest value on the CPU.
TOLERANCE = 2e-3


def measured(_: str, asked: argparse.Namespace) -> dict[str, Any]:
    """For each part the largest relative difference, and whether it is within the tolerance."""
    found: dict[str, Any] = {"tolerance": TOLERANCE}
    for name, work in _parts(asked).items():
        try:
            here, there = work("cpu"), work(asked.device)
        except VeilmarkError as error:
            found[name] = {"lacks": str(error)}
            continue
        scale = max(float(one.abs().max()) for one in here) or 1.0
        worst = max(
            float((one - other.cpu()).abs().max()) if one.shape == other.shape else float("inf")
            for one, other in zip(here, there, strict=True)
        )
        found[name] = {"difference": round(worst / scale, 7), "within": worst <= TOLERANCE * scale}
    found["all within"] = all(one.get("within", True) for one in found.values() if isinstance(one, dict))
    return found


def _parts(asked: argparse.Namespace) -> dict[str, Callable[[str], list[Tensor]]]:
    face, mask, details = (one[:4] for one in _faces(64, "cpu", 3))
    picture = torch.nn.functional.interpolate(face[:1], size=(256, 320), mode="bicubic").clamp(0, 1)

    def swapper(device: str) -> list[Tensor]:
        torch.manual_seed(0)
        model = Generator(preset("tiny").architecture, ("a", "b")).to(device)
        draws = torch.Generator().manual_seed(1)
        batch = augmented(face, mask, details, preset("tiny").augmentation, draws)
        seen = batch.seen.to(device)
        moved = type(batch)(seen, *(one.to(device) for one in (batch.wanted, batch.mask, batch.details)))
        colours, shape = model.as_person(seen, "a")
        loss = torch.stack(
            list(reconstruction(colours, shape, moved, preset("tiny").weights, None).values())
        ).sum()
        loss.backward()
        steepest = max(model.parameters(), key=lambda one: one.numel()).grad
        assert steepest is not None
        return [colours.detach(), shape.detach(), loss.detach()[None], steepest]

    def one_shot(device: str) -> list[Tensor]:
        torch.manual_seed(0)
        model = OneShot().to(device)
        with torch.no_grad():
            return list(model(face.to(device), torch.full((4, 128), 0.05, device=device)))

    def features(name: str) -> Callable[[str], list[Tensor]]:
        def work(device: str) -> list[Tensor]:
            network = load_features(name, 64, device)
            assert network is not None
            with torch.no_grad():
                return [one.float() for one in network(face.to(device))]

        return work

    def mesh(device: str) -> list[Tensor]:
        network = FaceMesh.load(asked.weights).to(device)
        region = torch.tensor([[160.0, 128.0, 200.0, 200.0, 0.1]], device=device)
        with torch.no_grad():
            points, _ = network(picture.to(device), region)
        return [points]

    def detector(name: str) -> Callable[[str], list[Tensor]]:
        def work(device: str) -> list[Tensor]:
            network = detectors.load(name, device, asked.weights)
            with torch.no_grad():
                return [network.candidates(picture.to(device))[0].logits.float()]

        return work

    def film(device: str) -> list[Tensor]:
        veil = veil_of(VeilName.FILM)
        assert veil is not None
        canvas = Canvas(picture, torch.ones(1, 1, 256, 320), 1.0)
        parameters = veil.settle(canvas, veil.random(canvas, 4))
        there = Canvas(picture.to(device), torch.ones(1, 1, 256, 320, device=device), 1.0)
        shown = veil.render(there, parameters.to(device), 0.08)
        return [shown, Flip(picture.to(device)).error_map(shown)]

    def denoiser(device: str) -> list[Tensor]:
        network = Denoiser.shipped()
        with torch.no_grad():
            shown = network.to(device)(picture.to(device))
        network.to("cpu")
        return [shown]

    parts: dict[str, Callable[[str], list[Tensor]]] = {
        "swapper, loss and gradient": swapper,
        "FaceMesh": mesh,
    }
    parts |= {"one-shot swapper": one_shot, "film and FLIP": film}
    parts |= {"denoiser": denoiser, "features onet": features("onet"), "features dlib": features("dlib")}
    names = detectors.available(asked.weights, differentiable=True)
    parts |= {f"detector {name}": detector(name) for name in names if name not in ("mtcnn", "dlib-hog")}
    return parts
