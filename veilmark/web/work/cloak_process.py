"""The process of :mod:`veilmark.web.work.process`: one task about faces, told on standard input."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provenance.errors import ExitCode, NoFaceError, VeilmarkError
from provenance.extras import missing_extra
from provenance.home import Home
from provenance.media.picture import open_picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from cloak.options import CloakOptions
    from provenance.media.picture import Picture

    Pixels = NDArray[np.uint8]

_SHOWN_SIDE, _CROP_SIDE, _MOST_CROPS = 1200, 900, 12
#: Of a film the moment that is shown is not later than this frame: all before it must be decoded.
_LATEST_FRAME = 100
#: Detectors that are asked in a quick look, if they see the face.
_QUICK = ("centerface", "mtcnn")
#: How much around a face is shown, as a share of its box.
_AROUND = 0.6


class _Enough(Exception):
    """The estimate is there; the search itself is not wanted."""


class Tell:
    """Says lines of JSON on the real standard output; everything else that prints goes to standard error."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._at = 0.0

    def __call__(self, **said: Any) -> None:
        self._stream.write(json.dumps(said, ensure_ascii=False, default=str) + "\n")
        self._stream.flush()

    def hiding(self, share: float) -> None:
        """How far a cloak is, now and then."""
        if share >= 1 or time.monotonic() - self._at > 0.3:
            self._at = time.monotonic()
            words = "Looking for faces" if share <= 0 else "Hiding faces" if share < 1 else "Writing"
            self(progress=share, words=words)


def main() -> None:
    """Do one task and end."""
    tell = Tell()
    task = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    try:
        tell(result={"faces": faces, "preview": preview, "cloak": cloak}[task["work"]](task, tell))
    except VeilmarkError as error:
        tell(error=str(error), hint=error.hint, exit_code=int(error.exit_code))
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        tell(error=str(missing), hint=missing.hint, exit_code=int(ExitCode.USAGE))


def _end_with_the_service() -> None:
    while sys.stdin.readline():
        continue
    os._exit(1)


def faces(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Which faces can be chosen; for a film only that it is one."""
    from cloak.evaluate.detect import list_faces
    from cloak.options import CloakOptions
    from provenance.sign import check_source

    source = Path(task["source"])
    if check_source(source).kind == "video":
        return _about_film(task)
    tell(words="Loading face detectors")
    picture = _opened(task)
    tell(words="Looking for faces", progress=0.3)
    found = list_faces(picture, CloakOptions())
    if not found:
        raise NoFaceError(
            "the detectors find no face that they agree on", hint="there is nothing to hide in this picture"
        )
    name = "seen.jpg"
    shown = _image(picture.pixels)
    shown.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    shown.save(Path(task["outbox"]) / name, "JPEG", quality=85)
    return {
        "files": [name],
        "shown": [name],
        "video": False,
        "picture": task["address"] + name,
        "width": picture.pixels.shape[1],
        "height": picture.pixels.shape[0],
        "faces": [
            {"number": one.number, "box": [round(side, 1) for side in one.box], "by": list(one.detected_by)}
            for one in found
        ],
    }


def _about_film(task: dict[str, Any]) -> dict[str, Any]:
    """One moment of a film, and how long it is. Its faces are looked for when it is cloaked."""
    from cloak.video.io import expected_frames, probe

    source, name = Path(task["source"]), "seen.jpg"
    info, count = probe(source), expected_frames(probe(source))
    shown = _image(_moment(source)[0])
    shown.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    shown.save(Path(task["outbox"]) / name, "JPEG", quality=85)
    return {
        "files": [name],
        "shown": [name],
        "video": True,
        "faces": [],
        "picture": task["address"] + name,
        "width": info.upright[0],
        "height": info.upright[1],
        "seconds": round(count / float(info.rate), 1),
    }


def _moment(film: Path) -> tuple[Pixels, float]:
    """A frame a third into a film, or its hundredth, and at how many seconds it is."""
    from cloak.video.io import expected_frames, frames, probe

    info = probe(film)
    wanted = min(expected_frames(info) // 3, _LATEST_FRAME)
    for frame in frames(info):
        if frame.index >= wanted:
            break
    return frame.rgb(), float(frame.pts * info.time_base)


def _film_pair(source: Path, output: Path, gallery: _Gallery) -> dict[str, Any]:
    """The same moment before and after."""
    (before, at), (after, _) = _moment(source), _moment(output)
    height, width = before.shape[:2]
    return {
        "before": gallery.add(before),
        "after": gallery.add(after),
        "width": width,
        "height": height,
        "at": round(at, 1),
    }


def preview(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """How a cloak of one face would look, and how long that of all chosen ones would take."""
    previous = {**task["previous"], "preview": None, "fault": ""}
    chosen = task["options"].get("faces") or [one["number"] for one in previous["faces"]]
    face = next((one for one in previous["faces"] if one["number"] == chosen[0]), None)
    if face is None:
        return {**previous, "fault": "there is no such face"}
    picture, gallery = _opened(task), _Gallery(task)
    tell(words=f"A quick cloak of face {face['number'] + 1}", progress=0.1)
    try:
        seen = _quick_look(task, face, picture, gallery)
        tell(words="How long it would take", progress=0.6)
        estimate = _estimate(task)
    except VeilmarkError as error:
        return {**previous, "fault": str(error)}
    files = [*previous["files"], *gallery.names]
    return {**previous, "files": files, "shown": files, "preview": seen, "estimate": estimate}


def _quick_look(
    task: dict[str, Any], face: dict[str, Any], picture: Picture, gallery: _Gallery
) -> dict[str, Any]:
    """A short search against a few detectors, on the part of the picture around one face."""
    from cloak.detectors import available
    from cloak.picture.pipeline import cloak_bytes

    left, top, right, bottom = _around(face["box"], picture.pixels)
    part = picture.with_pixels(picture.pixels[top:bottom, left:right].copy())
    able = available(differentiable=True)
    few = sorted((one for one in face["by"] if one in able), key=lambda one: one not in _QUICK)[:2]
    began = time.monotonic()
    changes = {"detectors": tuple(few) or None, "judges": (), "steps": 12, "rounds": 1, "format": "PNG"}
    quick = cloak_bytes(part, _options(task, faces=(0,), **changes))
    return {
        "before": gallery.add(part.pixels),
        "after": gallery.add(open_picture(quick.encoded).pixels),
        "width": right - left,
        "height": bottom - top,
        "face": face["number"],
        "seconds": round(time.monotonic() - began, 1),
    }


def _estimate(task: dict[str, Any]) -> str:
    """How long the whole would take, in words."""
    if task["options"].get("fast"):
        return "a short search"
    from cloak.picture.pipeline import cloak_file

    found: list[str] = []

    def keep(one: object) -> None:
        found.append(str(one))
        raise _Enough

    with suppress(_Enough):
        cloak_file(Path(task["source"]), _options(task), on_estimate=keep)
    return "".join(found)


def cloak(task: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Cloak, sign where that was asked for, and show each face before and after."""
    from cloak.publish import PublishRequest, publish_file, published_as
    from provenance.session import open_session
    from provenance.sign import check_source

    source, outbox = Path(task["source"]), Path(task["outbox"])
    home = Home(Path(task["data"]), Path(task["config"]))
    named = published_as(source)
    output = outbox / f"{named.stem}.cloaked{named.suffix}"
    tell(words="Loading face detectors")
    with ExitStack() as stack:
        session = None
        if task["options"].get("sign"):
            opening = open_session(home, identity=task["identity"], passphrase=task["passphrase"])
            session = stack.enter_context(opening)
        done = publish_file(
            source,
            output,
            PublishRequest(_options(task)),
            session,
            home=home,
            force=True,  # a run that was killed may have left a part
            progress=tell.hiding,
            on_estimate=lambda one: tell(note=str(one), words="Hiding faces"),
        )
    tell(words="Comparing before and after")
    gallery = _Gallery(task)
    report = done.report.to_json() if done.report else {}
    film = check_source(source).kind == "video"
    pairs = [] if film else _pairs(task, output, report, gallery)
    moment = _film_pair(source, output, gallery) if film else None
    signed = done.signed
    receipt = signed.receipt_path.name if signed and signed.receipt_path else ""
    files = [output.name, *([receipt] if receipt else []), *gallery.names]
    return {
        "files": files,
        "shown": gallery.names,
        "output": output.name,
        "receipt": receipt,
        "success": done.success,
        "index": signed.index if signed else None,
        "lines": done.report.lines() if done.report else [],
        "notes": list(done.notes),
        "report": report,
        "pairs": pairs,
        "film": moment,
        "exif": _kept_exif(output),
    }


def _options(task: dict[str, Any], **changes: Any) -> CloakOptions:
    from cloak.options import CloakOptions

    said = task["options"]
    chosen = said.get("faces")
    known: dict[str, Any] = {
        "strength": said.get("strength", "mid"),
        "veil": said.get("veil", "film"),
        "fast": bool(said.get("fast")),
        "faces": tuple(chosen) if chosen else None,
        "longest": said.get("longest"),
        "keep_gps": bool(said.get("keep_gps")),
    }
    return CloakOptions(**{**known, **changes})


def _opened(task: dict[str, Any]) -> Picture:
    """The picture, made as small as was asked for, so that places in it are those of the cloaked one."""
    from cloak.picture.shrink import shrunk

    return shrunk(open_picture(Path(task["source"])), task["options"].get("longest"))


def _pairs(
    task: dict[str, Any], output: Path, report: dict[str, Any], gallery: _Gallery
) -> list[dict[str, Any]]:
    """The hidden faces before and after, one pixel for each pixel."""
    before, after = _opened(task).pixels, open_picture(output).pixels
    pairs = []
    for face in [one for one in report["faces"] if one["chosen"]][:_MOST_CROPS]:
        left, top, right, bottom = _around(face["box"], before)
        pairs.append(
            {
                "number": face["number"],
                "hidden": face["hidden"],
                "before": gallery.add(before[top:bottom, left:right]),
                "after": gallery.add(after[top:bottom, left:right]),
                "width": right - left,
                "height": bottom - top,
            }
        )
    return pairs


def _around(box: list[float], pixels: Pixels) -> tuple[int, int, int, int]:
    """A face and what is around it, within the picture and no larger than is shown at once."""
    height, width = pixels.shape[:2]
    found = []
    for low, high, most in ((box[0], box[2], width), (box[1], box[3], height)):
        middle, half = (low + high) / 2, min((high - low) * (0.5 + _AROUND), _CROP_SIDE / 2)
        found.append((max(0, int(middle - half)), min(most, int(middle + half) + 1)))
    (left, right), (top, bottom) = found
    return left, top, right, bottom


def _kept_exif(output: Path) -> list[str]:
    """Names of the EXIF tags that the cloaked file has."""
    from PIL import ExifTags, Image

    try:
        with Image.open(output) as image:
            tags = image.getexif()
            details, place = tags.get_ifd(ExifTags.IFD.Exif), tags.get_ifd(ExifTags.IFD.GPSInfo)
    except Exception:
        return []  # a film, or a format without EXIF
    names = {ExifTags.TAGS.get(tag, "") for tag in (*tags, *details)} - {"", "ExifOffset", "GPSInfo"}
    return sorted(names) + (["the place where it was taken"] if place else [])


class _Gallery:
    """Pictures for the job's page, one pixel for each pixel."""

    def __init__(self, task: dict[str, Any]) -> None:
        self._folder, self._address = Path(task["outbox"]), str(task["address"])
        self.names: list[str] = []

    def add(self, pixels: Pixels) -> str:
        name = f"part-{len(self.names)}-{time.time_ns() % 10**6}.png"
        packed = io.BytesIO()
        _image(pixels).save(packed, "PNG", compress_level=3)
        (self._folder / name).write_bytes(packed.getvalue())
        self.names.append(name)
        return self._address + name


def _image(pixels: Pixels) -> Image.Image:
    from PIL import Image

    return Image.fromarray(pixels[..., :3] if pixels.ndim == 3 else pixels)


if __name__ == "__main__":
    main()
