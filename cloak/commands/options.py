"""The options of ``veilmark cloak``, in groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloak.strength import Strength
from cloak.veils.names import VeilName
from provenance.errors import MissingPathError, UsageError

if TYPE_CHECKING:
    from cloak.options import CloakOptions

_written = partial(typer.Option, rich_help_panel="What is written")


@dataclass(frozen=True)
class OutputGroup:
    """What is written."""

    output: Annotated[
        Path | None,
        _written("-o", "--output", help="A file for one input, else a folder. Default: NAME.cloaked.EXT."),
    ] = None
    format_: Annotated[
        str | None,
        _written(
            "--format", help="JPEG, PNG, WebP, TIFF, AVIF or BMP. Default: as the output is named, or kept."
        ),
    ] = None
    longest: Annotated[
        int | None,
        _written(
            min=128, max=30_000, help="Make pictures smaller first: pixels of the longer side. Hides better."
        ),
    ] = None
    quality: Annotated[
        int | None, _written(min=1, max=100, help="Of JPEG, WebP or AVIF. Default: the input's, or 95.")
    ] = None
    crf: Annotated[
        int,
        _written(
            min=0, max=40, help="Constant rate factor of a video's H.264 encoder: 18 is good, 28 is small."
        ),
    ] = 20
    keep_gps: Annotated[bool, _written("--keep-gps", help="Keep the position in the EXIF data.")] = False
    force: Annotated[bool, _written("--force", help="Overwrite outputs that exist.")] = False
    resume: Annotated[
        bool, _written("--resume", help="Skip inputs whose output is there from an earlier run.")
    ] = False
    jobs: Annotated[
        int,
        _written(
            min=1, max=64, help="Files cloaked at the same time, each by a process, where there is memory."
        ),
    ] = 1
    cluster: Annotated[
        str | None,
        _written(
            help="Cloak on a Ray cluster: auto, local, or HOST:PORT. Its nodes must see the same files."
        ),
    ] = None
    as_json: Annotated[bool, _written("--json", help="Print JSON lines.")] = False


_search = partial(typer.Option, rich_help_panel="How faces are hidden")


@dataclass(frozen=True)
class SearchGroup:
    """How faces are hidden."""

    strength: Annotated[
        Strength,
        _search(
            help="How much may be seen: mean FLIP of .10, .14 or .21 on a face; with plain noise 8, 12 or 16 of 255."
        ),
    ] = Strength.MID
    veil: Annotated[
        VeilName | None,
        _search(help="What the cloak looks like. Default: film; noise with --attack, --smooth or --strict."),
    ] = None
    attack: Annotated[
        str, _search(help="ensemble (ours), or torchattacks:NAME, such as torchattacks:PGD.")
    ] = "ensemble"
    detectors: Annotated[
        str | None,
        _search(help="Detectors to hide from, comma-separated. Default: all that are present."),
    ] = None
    detector: Annotated[
        list[Path] | None,
        _search(
            "--detector",
            help="A further detector to hide from, from your own file: ONNX, or a .pth of S3FD. Repeatable, each with "
            "its --head.",
        ),
    ] = None
    head: Annotated[
        list[str] | None,
        _search(
            "--head",
            help="Which kind of detector that is: scrfd, yolov8-face, yunet, retinaface, ultra-light, centerface or "
            "s3fd. As many as --detector, in the same order.",
        ),
    ] = None
    judges: Annotated[
        str | None,
        _search(help="Detectors that only judge, comma-separated, or none. Default: all that are present."),
    ] = None
    weights: Annotated[
        Path | None, _search("--weights", help="A folder with further detectors' weights.")
    ] = None
    decoys: Annotated[
        int, _search(min=0, max=12, help="Number of false faces to place where there is no face.")
    ] = 0
    displace_landmarks: Annotated[
        bool, _search("--landmarks", help="Also displace the landmarks of faces that are still found.")
    ] = False
    landmark_share: Annotated[
        float, _search(min=0.02, max=1.0, help="How far --landmarks moves them, in face sizes.")
    ] = 0.15
    recognition: Annotated[
        bool,
        _search("--recognition", help="Also make face recognition take each face for somebody else."),
    ] = False
    steps: Annotated[int, _search(min=1, max=10_000, help="Steps of the search, at most.")] = 60
    fast: Annotated[
        bool,
        _search(
            "--fast",
            help="A short search against quick detectors only: hides less, and shows the look soon.",
        ),
    ] = False
    restarts: Annotated[
        int,
        _search(min=0, max=20, help="How often the search starts again while a detector still finds a face."),
    ] = 0
    smooth: Annotated[
        float,
        _search(
            min=0, max=8, help="Noise without detail finer than this Gaussian sigma in pixels. Pictures only."
        ),
    ] = 0.0
    strict: Annotated[
        bool,
        _search(
            "--strict",
            help="Keep the strength's bound after lossy encoding, too. Protects less. Pictures only.",
        ),
    ] = False
    seed: Annotated[int, _search(help="Seed of every random choice.")] = 0
    device: Annotated[str, _search(help="cpu or cuda.")] = "cpu"
    bf16: Annotated[bool, _search("--bf16", help="Search with bfloat16, for GPUs; on CPUs no faster.")] = (
        False
    )


_faces = partial(typer.Option, rich_help_panel="Which faces")


@dataclass(frozen=True)
class FacesGroup:
    """Which faces."""

    faces: Annotated[
        str | None,
        _faces(help="Which faces, counted from 0 by falling size, comma-separated. Default: all."),
    ] = None
    list_faces: Annotated[
        bool,
        _faces(
            "--list-faces",
            help="Only print the number and the place of each face, and the detectors that find it.",
        ),
    ] = False
    faceless: Annotated[
        bool,
        _faces("--faceless", help="Also write pictures without a face: not cloaked, not signed, no GPS."),
    ] = False
    again: Annotated[bool, _faces("--again", help="Cloak a picture that is already cloaked.")] = False


_signing = partial(typer.Option, rich_help_panel="Signing")


@dataclass(frozen=True)
class SigningGroup:
    """How the result is signed."""

    sign: Annotated[
        bool, _signing(help="Sign the result, naming the original as its parent, and record it.")
    ] = True
    identity: Annotated[str | None, _signing(help="Which identity signs.")] = None
    reversible: Annotated[
        bool,
        _signing(
            "--reversible",
            help="Keep the signed original encrypted in the store: `veilmark uncloak` restores it.",
        ),
    ] = False
    readers: Annotated[
        list[str] | None,
        _signing(
            "--for",
            help="With --reversible: who else can restore it (an encryption key, or its file). Repeatable.",
        ),
    ] = None


def cloak_options(search: SearchGroup, choice: FacesGroup, written: OutputGroup) -> CloakOptions:
    """The choices as a value.

    Raises:
        UsageError: a choice is not possible. MissingPathError: the folder with weights does not exist.
    """
    from cloak.device import usable_device
    from cloak.options import CloakOptions, brought

    if search.weights is not None and not search.weights.is_dir():
        raise MissingPathError(f"{search.weights} is no folder with weights")
    judges = search.judges
    return CloakOptions(
        strength=search.strength,
        veil=search.veil,
        attack=search.attack,
        detectors=_names(search.detectors) if search.detectors else None,
        brought=brought(search.detector or (), search.head or ()),
        judges=None if judges is None else () if judges == "none" else _names(judges),
        weights=search.weights,
        decoys=search.decoys,
        displace_landmarks=search.displace_landmarks,
        landmark_share=search.landmark_share,
        recognition=search.recognition,
        faces=_numbers(choice.faces) if choice.faces else None,
        steps=search.steps,
        fast=search.fast,
        restarts=search.restarts,
        smooth=search.smooth,
        strict=search.strict,
        bf16=search.bf16,
        longest=written.longest,
        format=written.format_,
        quality=written.quality,
        seed=search.seed,
        device=usable_device(search.device),
        keep_gps=written.keep_gps,
        again=choice.again,
    )


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(
            f"there is an empty name in {text[:60]!r}", hint="separate names by one comma: mtcnn,centerface"
        )
    return names


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{text[:60]!r} is no list of numbers", hint="give, say, --faces 0,2") from None
