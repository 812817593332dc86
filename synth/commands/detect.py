"""``veilmark detect``: what six small fake detectors say about a file, and what they saw."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloak.device import usable_device
from provenance.commands.support.batch import print_error_json
from provenance.commands.support.console import clean, complain, fraction, note, print_json, say
from provenance.errors import (
    ExitCode,
    OutputExistsError,
    VeilmarkError,
    combine,
)
from synth.commands.options import Device, WeightsFolder, names_of

if TYPE_CHECKING:
    from synth.detect.run import Detection

_BAR = 20
#: What pictures each detector may draw, by the end of their names.
_KINDS = {
    "blink": ("blink-1",),
    "pulse": ("pulse-1", "pulse-2"),
    "lips": ("lips-1",),
    "warp": ("warp-1", "warp-saliency"),
    "blend": ("blend-1", "blend-saliency"),
    "splice": ("consistency-map",),
}


def detect(
    files: Annotated[list[Path], typer.Argument(help="Videos or pictures.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder for what each detector saw: curves, spectra, maps."),
    ] = None,
    detectors: Annotated[
        str | None,
        typer.Option("--detectors", help="Which, comma-separated: blink, pulse, lips, warp, blend, splice."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", help="How much of a video is looked at, 0.1 to 600.")
    ] = 30.0,
    weights: WeightsFolder = None,
    device: Device = "cpu",
    force: Annotated[bool, typer.Option("--force", help="Overwrite pictures that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per file.")] = False,
) -> None:
    """Score how much a video or a picture looks like a deepfake, and show why.

    A score is no verdict: these detectors are small, learned from few people, and miss fakes of kinds they never met.
    For what can be proven, ask `veilmark verify`. Exit codes: 0 judged; 6 no face (only the splice detector needs
    none); 7 a face, but nothing could be judged (too short, too small, too heavily compressed).
    """
    from synth.detect.base import DETECTORS
    from synth.detect.run import DetectOptions, detect_file

    chosen = tuple(DETECTORS)
    if detectors is not None:
        chosen = names_of(detectors)
    options = DetectOptions(
        detectors=chosen,
        max_seconds=seconds,
        device=usable_device(device),
        weights_dir=weights,
        pictures=output is not None,
    )
    options.check()
    names = _names(files)
    if output is not None:
        _require_room(output, names, chosen, force)
    codes: list[int] = []
    for path, name in zip(files, names, strict=True):
        try:
            with fraction(f"Looking at {path.name[:40]}") as report:
                found = detect_file(path, options, progress=report)
            written = _save(found, output, name) if output is not None else []
        except VeilmarkError as error:
            if as_json:
                print_error_json(str(path), error)
            if len(files) == 1:
                raise
            complain(str(error), error.hint, subject=None if str(path) in str(error) else str(path))
            codes.append(int(error.exit_code))
            continue
        if as_json:
            print_json({**found.to_json(), "saved": [str(one) for one in written]})
        else:
            _print(found, written)
        codes.append(int(_code(found)))
    code = combine(codes)
    if code:
        raise typer.Exit(int(code))


def _code(found: Detection) -> ExitCode:
    if any(score is not None for name, score in found.scores.items() if name != "splice"):
        return ExitCode.OK
    if not found.face:
        return ExitCode.NO_FACE if set(found.scores) != {"splice"} else _judged(found)
    return _judged(found)


def _judged(found: Detection) -> ExitCode:
    return ExitCode.OK if any(one is not None for one in found.scores.values()) else ExitCode.PARTIAL


def _print(found: Detection, written: list[Path]) -> None:
    say(clean(str(found.path)))
    for name, finding in found.findings.items():
        if finding.score is None:
            say(f"  {name:<7} cannot judge: {clean(finding.reason)}")
            continue
        bar = "#" * round(finding.score * _BAR)
        say(f"  {name:<7} {finding.score:4.2f} |{bar:<{_BAR}}| {clean(finding.sentence)}")
    if found.joint is None:
        say("  joint   cannot judge")
    else:
        bar = "#" * round(found.joint * _BAR)
        say(f"  joint   {found.joint:4.2f} |{bar:<{_BAR}}| {_words(found.joint)}")
    for line in found.notes:
        note(f"note: {line}")
    if written:
        say(f"  {written[0].parent}: {len(written)} pictures of what they saw")


def _words(joint: float) -> str:
    """What the number means, without saying what the file is."""
    if joint < 0.35:
        return "more like the real clips it was calibrated on"
    if joint <= 0.65:
        return "undecided"
    return "more like the fakes it was calibrated on"


def _names(files: list[Path]) -> list[str]:
    """What the files' pictures are called, by the files' names; another file of the same name gets a number."""
    names: list[str] = []
    for path in files:
        numbered = (path.stem if number == 1 else f"{path.stem}-{number}" for number in count(1))
        names.append(next(name for name in numbered if name not in names))
    return names


def _require_room(output: Path, names: list[str], detectors: tuple[str, ...], force: bool) -> None:
    """Refuse a folder that cannot be written, or pictures that would be overwritten, before anything is looked at.

    Raises:
        OutputExistsError: there is a picture of one of these files and detectors.
        NotWritableError: the folder cannot be made or written.
    """
    from provenance.media.files import require_writable

    wanted = [f"{name}-{kind}.png" for name in names for one in detectors for kind in _KINDS[one]]
    existing = next((output / name for name in wanted if (output / name).exists()), None)
    if existing is not None and not force:
        raise OutputExistsError(f"{existing} already exists", hint="name another folder, or give --force")
    for name in wanted[:1]:
        require_writable(output / name)


def _save(found: Detection, output: Path, called: str) -> list[Path]:
    """Plots and maps as PNG, in the order of the detectors."""
    import io

    from PIL import Image

    from provenance.media.files import write_bytes
    from synth.detect.plots import draw

    pictures = {}
    for name, finding in found.findings.items():
        for number, plot in enumerate(finding.plots):
            pictures[f"{name}-{number + 1}"] = draw(plot)
        pictures |= finding.pictures
    paths = {output / f"{called}-{name}.png": pixels for name, pixels in pictures.items()}
    for path, pixels in paths.items():
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        write_bytes(path, data.getvalue(), force=True)
    return list(paths)
