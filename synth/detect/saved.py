"""What fake detectors saw, as PNG files beside each other in a folder."""

from __future__ import annotations

import io
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from provenance.errors import OutputExistsError
from provenance.media.files import require_writable, write_bytes
from synth.detect.plots import draw

if TYPE_CHECKING:
    from synth.detect.run import Detection

#: What pictures each detector may draw, by the end of their names.
KINDS = {
    "blink": ("blink-1",),
    "pulse": ("pulse-1", "pulse-2"),
    "lips": ("lips-1",),
    "warp": ("warp-1", "warp-saliency"),
    "blend": ("blend-1", "blend-saliency"),
    "splice": ("consistency-map",),
}


def names_for(files: list[Path]) -> list[str]:
    """What the files' pictures are called, by the files' names; another file of the same name gets a number."""
    names: list[str] = []
    for path in files:
        numbered = (path.stem if number == 1 else f"{path.stem}-{number}" for number in count(1))
        names.append(next(name for name in numbered if name not in names))
    return names


def require_room(output: Path, names: list[str], detectors: tuple[str, ...], force: bool) -> None:
    """Refuse a folder that cannot be written, or pictures that would be overwritten, before anything is looked at.

    Raises:
        OutputExistsError: there is a picture of one of these files and detectors.
        NotWritableError: the folder cannot be made or written.
    """
    wanted = [f"{name}-{kind}.png" for name in names for one in detectors for kind in KINDS[one]]
    existing = next((output / name for name in wanted if (output / name).exists()), None)
    if existing is not None and not force:
        raise OutputExistsError(f"{existing} already exists", hint="name another folder, or give --force")
    for name in wanted[:1]:
        require_writable(output / name)


def save_seen(found: Detection, output: Path, called: str) -> list[Path]:
    """Plots and maps as PNG, in the order of the detectors."""
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
