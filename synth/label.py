"""The only door out: every generated file leaves signed as synthetic media and recorded.

Generators write into a :func:`synth.quarantine.quarantine`, and :func:`label_generated` takes the file from there.

A generated file carries a C2PA manifest whose ``digitalSourceType`` says how it came about (IPTC NewsCodes:
``trainedAlgorithmicMedia`` for wholly generated media, ``compositeWithTrainedAlgorithmicMedia`` for
generated parts in real footage), its inputs as ingredients, the statement of consent, and a ledger record
``synthetic``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from provenance.errors import UsageError
from provenance.manifest.actions import source_type
from provenance.manifest.embed import ManifestSpec, Parent
from provenance.record import Relation
from provenance.session import Session
from provenance.sign import SignRequest, SignResult, sign_file
from synth.quarantine import Unlabelled, quarantine

GENERATED = "trainedAlgorithmicMedia"
COMPOSITE = "compositeWithTrainedAlgorithmicMedia"
MARK_TEXT = "SYNTHETIC"
CONSENT_LABEL = "org.veilmark.consent"
_FONT, _FONT_HEIGHT = cv2.FONT_HERSHEY_SIMPLEX, 22.0
_MARK_HEIGHT, _MARK_WIDTH = 0.055, 0.25
#: Where the mark's middle is, from the highest landmark (0) to the chin (1).
_FOREHEAD = 0.12
_MOST_NAMED = 64


@dataclass(frozen=True)
class Generated:
    """What has to be said about a generated file.

    Attributes:
        generator: which part made it, such as ``veilmark swap``.
        inputs: the files it was made from. The first is the footage that the result shows (its parent) when
            ``composite`` is true; all others were inputs.
        composite: real footage with generated parts, not wholly generated.
        consent: the statement under which faces or voices were used, as one sentence.
        seed: of the run that made it.
        learned_from: what the generator was trained on and is not at hand any more: title and description of each,
            such as ``("clip.mp4", "training footage of person a, SHA-256 ...")``. They become ingredients too.
    """

    generator: str
    inputs: Sequence[Path]
    composite: bool
    consent: str
    seed: int | None = None
    learned_from: Sequence[tuple[str, str]] = ()


def label_generated(
    unlabelled: Unlabelled | Path, output: Path, about: Generated, session: Session, *, force: bool = False
) -> SignResult:
    """Sign ``unlabelled`` into ``output`` as synthetic media, record it, and delete the unlabelled file.

    The unlabelled file is deleted even when signing fails: nothing generated stays without its label.

    Args:
        unlabelled: what was generated here, or a file that another generator made.
        output: the labelled file.
        about: what has to be said.
        session: signs and records.
        force: overwrite an output that exists.

    Raises:
        UsageError: no statement of consent.
        VeilmarkError: whatever :func:`provenance.sign.sign_file` raises.
    """
    made = unlabelled.path if isinstance(unlabelled, Unlabelled) else unlabelled
    try:
        if not about.consent.strip():
            raise UsageError(
                "generated media needs a statement of consent",
                hint="say under which consent the footage is used",
            )
        spec = ManifestSpec(
            relation=Relation.SYNTHETIC,
            digital_source_type=COMPOSITE if about.composite else GENERATED,
            parents=_parents(about),
            extra_assertions=((CONSENT_LABEL, _statement(about)),),
            definition=_learned(about),
        )
        request = SignRequest(spec, extra={"generator": about.generator, "consent": about.consent})
        # half a label is none: the copy, too, lies in quarantine until it is complete
        scratch = made.parent if isinstance(unlabelled, Unlabelled) else None
        return sign_file(made, output, request, session, force=force, scratch=scratch)
    finally:
        made.unlink(missing_ok=True)


def label_picture(
    pixels: NDArray[np.uint8], output: Path, about: Generated, session: Session, *, force: bool = False
) -> SignResult:
    """Mark a generated picture visibly, and write it signed as synthetic media.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB; is not changed.
        output: its suffix, ``.png`` or ``.jpg`` (quality 90), names the format.
        about, session, force: see :func:`label_generated`.

    Raises:
        UsageError: another suffix, or no statement of consent.
        VeilmarkError: whatever :func:`provenance.sign.sign_file` raises.
    """
    suffix = output.suffix.lower()
    if suffix not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"cannot write {suffix or output.name!r}", hint="end the output in .png or .jpg")
    settings = [] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 90]
    _, data = cv2.imencode(suffix, cv2.cvtColor(mark_visibly(pixels), cv2.COLOR_RGB2BGR), settings)
    with quarantine(session.home) as private:
        made = private.place(f"picture{suffix}")
        made.path.write_bytes(data.tobytes())
        return label_generated(made, output, about, session, force=force)


def mark_visibly(pixels: NDArray[np.uint8], face: NDArray[np.floating] | None = None) -> NDArray[np.uint8]:
    """Draw ``SYNTHETIC`` onto the forehead of the face, or into the lower left corner where none is named.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB.
        face: ``(N, 2)`` or ``(N, 3)`` landmarks of the generated face in pixels, x first. The mark is as wide as the
            face and at least a quarter of the picture, so that cropping to the face does not remove it and a
            telephone shows it readably.

    Returns:
        a marked copy of the same shape. In the corner the text is 5.5 % of the height, at least 8 px.
    """
    marked = pixels.copy()
    height, width = pixels.shape[:2]
    scale = max(8.0, height * _MARK_HEIGHT) / _FONT_HEIGHT
    most = 0.9 * width
    if face is not None:
        (left, top), (right, bottom) = face[:, :2].min(0), face[:, :2].max(0)
        most = min(most, max(float(right - left), _MARK_WIDTH * width))
        scale = float(width)  # whatever the font's size, it is made to fit
    scale *= min(1.0, most / max(1, _text_size(scale)[0]))
    text_width, text_height = _text_size(scale)
    margin = max(2, text_height // 2)
    plate_width, plate_height = text_width + 2 * margin, text_height + 2 * margin
    x, y = 0.0, float(height - plate_height)
    if face is not None:
        x = (left + right - plate_width) / 2
        y = top + _FOREHEAD * (bottom - top) - plate_height / 2
    x0 = round(max(0.0, min(x, width - plate_width)))
    y0 = round(max(0.0, min(y, height - plate_height)))
    plate = marked[y0 : y0 + plate_height, x0 : x0 + plate_width]
    plate[:] = plate // 3
    corner = (x0 + margin, y0 + plate_height - margin)
    cv2.putText(marked, MARK_TEXT, corner, _FONT, scale, (255, 255, 255), _stroke(scale), cv2.LINE_AA)
    return marked


def _stroke(scale: float) -> int:
    return max(1, round(scale * 2))


def _text_size(scale: float) -> tuple[int, int]:
    (width, height), _ = cv2.getTextSize(MARK_TEXT, _FONT, scale, _stroke(scale))
    return width, height


def _parents(about: Generated) -> tuple[Parent, ...]:
    first = "parentOf" if about.composite else "inputTo"
    return tuple(
        Parent(path, first if index == 0 else "inputTo", embed=False)
        for index, path in enumerate(about.inputs)
    )


def _learned(about: Generated) -> dict[str, Any] | None:
    """Ingredients that are named without a file, and the action that they went into."""
    if not about.learned_from:
        return None
    named = [
        {
            "title": title[:200] or "unnamed",
            "format": "application/octet-stream",
            "relationship": "inputTo",
            "description": text[:1000],
            "label": f"learned-{index}",
        }
        for index, (title, text) in enumerate(about.learned_from[:_MOST_NAMED])
    ]
    learned = {
        "action": "c2pa.edited",
        "description": "by a generator that learned from these",
        "digitalSourceType": source_type(COMPOSITE if about.composite else GENERATED),
        "parameters": {"ingredientIds": [one["label"] for one in named]},
    }
    actions = {"label": "c2pa.actions.v2", "data": {"actions": [learned]}}
    return {"ingredients": named, "assertions": [actions]}


def _statement(about: Generated) -> dict[str, str | int]:
    statement: dict[str, str | int] = {"statement": about.consent, "generator": about.generator}
    if about.seed is not None:
        statement["seed"] = about.seed
    return statement
