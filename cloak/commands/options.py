"""The options of ``veilmark cloak``, in groups."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cloak.strength import Strength
from cloak.veils.names import VeilName

_written = partial(typer.Option, rich_help_panel="What is written")
Output = Annotated[
    Path | None,
    _written("-o", "--output", help="A file for one input, else a folder. Default: NAME.cloaked.EXT."),
]
Format = Annotated[
    str | None,
    _written(
        "--format", help="JPEG, PNG, WebP, TIFF, AVIF or BMP. Default: as the output is named, or kept."
    ),
]
Quality = Annotated[
    int | None, _written(min=1, max=100, help="Of JPEG, WebP or AVIF. Default: the input's, or 95.")
]
Crf = Annotated[
    int,
    _written(min=0, max=40, help="Constant rate factor of a video's H.264 encoder: 18 is good, 28 is small."),
]
KeepGps = Annotated[bool, _written("--keep-gps", help="Keep the position in the EXIF data.")]
Force = Annotated[bool, _written("--force", help="Overwrite outputs that exist.")]
Resume = Annotated[bool, _written("--resume", help="Skip inputs whose output is there from an earlier run.")]
Jobs = Annotated[
    int,
    _written(min=1, max=16, help="Pictures cloaked at the same time, where there is memory for them."),
]
AsJson = Annotated[bool, _written("--json", help="Print JSON lines.")]

_search = partial(typer.Option, rich_help_panel="How faces are hidden")
StrengthName = Annotated[
    Strength,
    _search(
        help="How much may be seen: mean FLIP of .10, .145 or .21 on a face; with plain noise 8, 12 or 16 of 255."
    ),
]
Veil = Annotated[
    VeilName | None,
    _search(
        help="What the cloak looks like. Default: film; noise with --attack, --smooth or --strict, and for videos."
    ),
]
Attack = Annotated[str, _search(help="ensemble (ours), or torchattacks:NAME, such as torchattacks:PGD.")]
Detectors = Annotated[
    str | None,
    _search(help="Detectors to hide from, comma-separated. Default: all that are present."),
]
Detector = Annotated[
    list[Path] | None,
    _search(
        "--detector",
        help="A further detector to hide from, from your own file: ONNX, or a .pth of S3FD. Repeatable, each with "
        "its --head.",
    ),
]
Head = Annotated[
    list[str] | None,
    _search(
        "--head",
        help="Which kind of detector that is: scrfd, yolov8-face, yunet, retinaface, ultra-light, centerface or "
        "s3fd. As many as --detector, in the same order.",
    ),
]
Judges = Annotated[
    str | None,
    _search(help="Detectors that only judge, comma-separated, or none. Default: all that are present."),
]
Weights = Annotated[Path | None, _search("--weights", help="A folder with further detectors' weights.")]
Decoys = Annotated[int, _search(min=0, max=12, help="Number of false faces to place where there is no face.")]
DisplaceLandmarks = Annotated[
    bool, _search("--landmarks", help="Also displace the landmarks of faces that are still found.")
]
LandmarkShare = Annotated[
    float, _search(min=0.02, max=1.0, help="How far --landmarks moves them, in face sizes.")
]
Recognition = Annotated[
    bool,
    _search("--recognition", help="Also make face recognition take each face for somebody else."),
]
Steps = Annotated[int, _search(min=1, max=10_000, help="Steps of the search, at most.")]
Fast = Annotated[
    bool,
    _search(
        "--fast", help="A short search against quick detectors only: seconds instead of minutes, less hidden."
    ),
]
Restarts = Annotated[
    int, _search(min=0, max=20, help="How often the search starts again while a detector still finds a face.")
]
Smooth = Annotated[
    float,
    _search(
        min=0, max=8, help="Noise without detail finer than this Gaussian sigma in pixels. Pictures only."
    ),
]
Strict = Annotated[
    bool,
    _search(
        "--strict",
        help="Keep the strength's bound after lossy encoding, too. Protects less. Pictures only.",
    ),
]
Seed = Annotated[int, _search(help="Seed of every random choice.")]
Device = Annotated[str, _search(help="cpu or cuda.")]
Bf16 = Annotated[bool, _search("--bf16", help="Search with bfloat16, for GPUs; on CPUs no faster.")]

_faces = partial(typer.Option, rich_help_panel="Which faces")
Faces = Annotated[
    str | None,
    _faces(help="Which faces, counted from 0 by falling size, comma-separated. Default: all."),
]
ListFaces = Annotated[
    bool,
    _faces(
        "--list-faces",
        help="Only print the number and the place of each face, and the detectors that find it.",
    ),
]
Faceless = Annotated[
    bool,
    _faces("--faceless", help="Also write pictures without a face: not cloaked, not signed, no GPS."),
]
Again = Annotated[bool, _faces("--again", help="Cloak a picture that is already cloaked.")]

_signing = partial(typer.Option, rich_help_panel="Signing")
Sign = Annotated[bool, _signing(help="Sign the result, naming the original as its parent, and record it.")]
Identity = Annotated[str | None, _signing(help="Which identity signs.")]
Reversible = Annotated[
    bool,
    _signing(
        "--reversible",
        help="Keep the signed original encrypted in the store: `veilmark uncloak` restores it.",
    ),
]
Readers = Annotated[
    list[str] | None,
    _signing(
        "--for",
        help="With --reversible: who else can restore it (an encryption key, or its file). Repeatable.",
    ),
]
