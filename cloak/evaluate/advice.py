"""By whom faces are still found, and what would help: one sentence or two, made of what was measured."""

from __future__ import annotations

from collections.abc import Sequence

from cloak.detectors import DETECTORS
from cloak.evaluate.presence import commands_text
from cloak.evaluate.report import DetectorReport, FaceReport, RecognitionReport
from cloak.options import CloakOptions
from cloak.pixels import MAX_DISPLAY_SIDE
from cloak.strength import Strength
from cloak.veils.names import VeilName
from cloak.veils.visibility import CEILINGS

#: A face whose crop has at least so many dB to spare has not used the noise that its strength allows.
_SPARE_DB = 1.0
#: So has one that shows less than this share of what the strength of a veil allows.
_SPARE_FLIP = 0.9
#: A face that takes more of the picture's shorter side than this is a close portrait, the hardest to hide.
_CLOSE = 0.4
#: Veils hide faces best in pictures whose longer side has so many pixels; it is worth it from the second number on
#: (docs/research/veils.md).
_SMALL, _LARGE = 640, 800
_STRONGER = {Strength.LOW: Strength.MID, Strength.MID: Strength.HIGH}
#: More faces than this are counted, not named.
_FEW_FACES = 4


def advise(
    faces: Sequence[FaceReport],
    detectors: Sequence[DetectorReport],
    options: CloakOptions,
    size: tuple[int, int],
    missing: dict[str, tuple[str, ...]],
    recognition: Sequence[RecognitionReport] = (),
) -> str:
    """What to do about the chosen faces that are still found or recognised as published; empty where none is.

    Args:
        faces: of the picture; those that were not chosen are passed over.
        detectors: that were asked.
        options: of the cloak.
        size: width and height of the picture.
        missing: known detectors that are not here, and the commands that bring them.
        recognition: encoders that were asked; those that were not attacked are passed over.
    """
    recognising = [one for one in recognition if one.attacked and one.recognised("published")]
    sentences = [_about_detectors(faces, detectors, options, size, missing)]
    if recognising:
        names = ", ".join(f"{one.encoder} ({one.recognised('published')})" for one in recognising)
        sentences.append(f"Faces are still recognised by {names}; more --steps may help.")
    return " ".join(sentence for sentence in sentences if sentence)


def _about_detectors(
    faces: Sequence[FaceReport],
    detectors: Sequence[DetectorReport],
    options: CloakOptions,
    size: tuple[int, int],
    missing: dict[str, tuple[str, ...]],
) -> str:
    left = [face for face in faces if face.chosen and not face.hidden]
    if not left:
        return ""
    finding = {name for face in left for name in face.found_by["published"]}
    attacked = [one for one in detectors if one.attacked and one.name in finding]
    judging = [one for one in detectors if not one.attacked and one.name in finding]
    help_: list[str] = []
    if attacked:
        help_.extend(_more_of_the_search([_of(attacked, face) for face in left], left, options, size))
    help_.extend(_against_judges(judging, missing))
    if options.chosen_veil is not VeilName.NOISE and max(size) >= _LARGE:
        help_.append(f"--longest {_SMALL}, for in a small picture faces are hidden better")
    help_.extend(_other_form(left, size))
    return f"{_who(left, judging)}. What may help: {'; '.join(help_)}."


def _who(left: Sequence[FaceReport], judging: Sequence[DetectorReport]) -> str:
    """By whom which faces are found."""
    only = {one.name for one in judging}

    def names(found: Sequence[str]) -> str:
        return ", ".join(f"{name} (only judges)" if name in only else name for name in found)

    if len(left) > _FEW_FACES:
        counts: dict[str, int] = {}
        for face in left:
            for name in face.found_by["published"]:
                counts[name] = counts.get(name, 0) + 1
        return f"{len(left)} faces are still found: " + ", ".join(
            f"{count} by {names([name])}" for name, count in counts.items()
        )
    return "; ".join(
        f"face {face.number} is still found by {names(face.found_by['published'])}" for face in left
    )


def _of(attacked: Sequence[DetectorReport], face: FaceReport) -> bool:
    return any(one.name in face.found_by["published"] for one in attacked)


def _more_of_the_search(
    by_attacked: Sequence[bool], left: Sequence[FaceReport], options: CloakOptions, size: tuple[int, int]
) -> list[str]:
    """A larger change only for faces that used what they had, and more steps only for those that did not."""
    if options.torchattack:
        return ["leave out --attack, for the default search goes on after the file was written and judged"]
    spare = [_spare(face, options, size) for face, hit in zip(left, by_attacked, strict=True) if hit]
    result = []
    if not all(spare) and (stronger := _STRONGER.get(options.level)):
        result.append(f"--strength {stronger}, for the change that {options.level} allows is used up")
    if any(spare) or options.level == Strength.HIGH:
        result.append(f"--steps {2 * options.steps}, or --restarts {options.restarts + 2}")
    return result


def _spare(face: FaceReport, options: CloakOptions, size: tuple[int, int]) -> bool:
    """Did the search leave part of what the strength allows?"""
    if options.chosen_veil is VeilName.NOISE:
        return face.quality.psnr - options.level.face_psnr >= _SPARE_DB
    side = max(face.box[2] - face.box[0], face.box[3] - face.box[1]) * min(1.0, MAX_DISPLAY_SIDE / max(size))
    most = CEILINGS[options.level].for_side(side).face
    return face.quality.flip is not None and face.quality.flip < _SPARE_FLIP * most


def _against_judges(judging: Sequence[DetectorReport], missing: dict[str, tuple[str, ...]]) -> list[str]:
    """A judge that can be attacked is named; for others, more detectors to work against are what there is."""
    differentiable = {known.name: known.differentiable for known in DETECTORS}
    result = []
    if usable := [one.name for one in judging if differentiable.get(one.name)]:
        result.append(f"add {','.join(usable)} to --detectors")
    useful = {name: commands for name, commands in missing.items() if differentiable.get(name)}
    if judging and useful:
        commands = [command for each in useful.values() for command in each]
        result.append(f"bring more detectors to work against ({commands_text(commands)})")
    return result


def _other_form(left: Sequence[FaceReport], size: tuple[int, int]) -> list[str]:
    """What else can be published: a form in which no detector was seen to find the faces, or less of the picture."""
    result = []
    if not any(face.found_by["half"] for face in left):
        result.append("publish it at half size, where none of these finds a face")
    if not any(face.found_by["jpeg75"] for face in left):
        result.append("publish it as a JPEG of quality 75, where none of these finds a face")
    largest = max(max(face.box[2] - face.box[0], face.box[3] - face.box[1]) for face in left)
    if largest > _CLOSE * min(size):
        result.append("a picture that shows the face smaller, for close portraits are the hardest to hide")
    else:
        result.append("crop the face away")
    return result
