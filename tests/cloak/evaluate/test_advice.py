"""What a person is told to do about a face that is still found follows from what was measured."""

from __future__ import annotations

from cloak import CloakOptions
from cloak.evaluate.advice import advise
from cloak.evaluate.presence import commands_text, missing_detectors, who_looks
from cloak.evaluate.quality import Quality
from cloak.evaluate.report import DetectorReport, FaceReport, RecognitionReport
from cloak.strength import Strength
from cloak.veils.visibility import CEILINGS

SIZE = (640, 480)


def face(
    number: int = 0,
    *,
    published: tuple[str, ...] = (),
    half: tuple[str, ...] | None = None,
    psnr: float = 29.0,
    flip: float | None = None,
    side: float = 60.0,
    chosen: bool = True,
) -> FaceReport:
    found = {"published": published, "jpeg75": published, "half": published if half is None else half}
    quality = Quality(psnr, 0.9, None, flip, 20.0, 30)
    return FaceReport(
        (10.0, 10.0, 10.0 + side, 10.0 + side), number, chosen, ("mtcnn",), found if chosen else {}, quality
    )


def asked(name: str, *, attacked: bool = True) -> DetectorReport:
    return DetectorReport(name, name, attacked, 1, {"published": 1, "jpeg75": 1, "half": 1}, 0)


def test_nothing_is_said_where_nobody_finds_a_face() -> None:
    other = face(1, chosen=False)
    assert not other.hidden and face().hidden
    assert advise([face(), other], [asked("mtcnn")], CloakOptions(), SIZE, {}) == ""


def test_a_larger_strength_is_advised_only_where_this_one_is_used_up() -> None:
    asked_detectors = [asked("mtcnn")]
    used_up, spare = face(published=("mtcnn",), psnr=29.0), face(published=("mtcnn",), psnr=33.0)
    said = advise([used_up], asked_detectors, CloakOptions(strength="mid", veil="noise"), SIZE, {})
    assert said.startswith("face 0 is still found by mtcnn. What may help: ")
    assert "--strength high" in said and "--steps" not in said
    said = advise([spare], asked_detectors, CloakOptions(strength="mid", veil="noise", steps=80), SIZE, {})
    assert "--strength" not in said and "--steps 160" in said
    said = advise(
        [face(published=("mtcnn",), psnr=26.5)],
        asked_detectors,
        CloakOptions(strength="high", veil="noise"),
        SIZE,
        {},
    )
    assert "--strength" not in said and "--steps 120" in said


def test_veils_are_used_up_by_what_is_seen_of_them() -> None:
    asked_detectors, most = [asked("mtcnn")], CEILINGS[Strength.MID].face
    seen, hardly = face(published=("mtcnn",), flip=most), face(published=("mtcnn",), flip=most / 2)
    assert "--strength high" in advise([seen], asked_detectors, CloakOptions(veil="film"), SIZE, {})
    said = advise([hardly], asked_detectors, CloakOptions(veil="film"), SIZE, {})
    assert "--strength" not in said and "--steps 120" in said


def test_a_large_picture_is_better_made_small_first() -> None:
    left, asked_detectors = [face(published=("mtcnn",), flip=0.14)], [asked("mtcnn")]
    assert "--longest 640" in advise(left, asked_detectors, CloakOptions(), (1280, 720), {})
    assert "--longest" not in advise(left, asked_detectors, CloakOptions(longest=640), (640, 360), {})
    assert "--longest" not in advise(left, asked_detectors, CloakOptions(veil="noise"), (1280, 720), {})


def test_judges_are_named_as_such_and_attacked_where_they_can_be() -> None:
    asked_detectors = [
        asked("mtcnn"),
        asked("centerface", attacked=False),
        asked("haar-alt2", attacked=False),
    ]
    missing = {"retinaface-rfb": ("veilmark models get retinaface-rfb",)}
    said = advise(
        [face(published=("centerface", "haar-alt2"))], asked_detectors, CloakOptions(), SIZE, missing
    )
    assert "centerface (only judges), haar-alt2 (only judges)" in said
    assert "add centerface to --detectors" in said and "haar-alt2 to" not in said
    assert "`veilmark models get retinaface-rfb`" in said and "--steps" not in said


def test_other_forms_are_advised_only_where_they_were_seen_to_hide() -> None:
    asked_detectors = [asked("mtcnn")]
    small = face(published=("mtcnn",), half=())
    assert "at half size" in advise([small], asked_detectors, CloakOptions(), SIZE, {})
    assert "at half size" not in advise(
        [face(published=("mtcnn",))], asked_detectors, CloakOptions(), SIZE, {}
    )
    assert "crop the face away" in advise([small], asked_detectors, CloakOptions(), SIZE, {})
    close = advise([face(published=("mtcnn",), side=300)], asked_detectors, CloakOptions(), SIZE, {})
    assert "shows the face smaller" in close and "crop" not in close


def test_many_faces_are_counted_and_encoders_named() -> None:
    crowd = [face(i, published=("mtcnn",)) for i in range(9)]
    said = advise(crowd, [asked("mtcnn")], CloakOptions(), SIZE, {})
    assert said.startswith("9 faces are still found: 9 by mtcnn.") and "face 3" not in said
    encoder = RecognitionReport("mobile-facenet", True, {"published": (0.2,)}, 0.6)
    said = advise([face()], [asked("mtcnn")], CloakOptions(), SIZE, {}, [encoder])
    assert said == "Faces are still recognised by mobile-facenet (1); more --steps may help."


def test_who_looks_is_said_in_one_line() -> None:
    said = who_looks(
        ("mtcnn", "blazeface-short", "blazeface-back"),
        ("haar-alt2",),
        {"dlib-hog": ("pip install dlib-bin",), "mtcnn": ("never said",)},
    )
    assert said == (
        "works against mtcnn, blazeface-short/back; haar-alt2 only judges; not here: dlib-hog (`pip install dlib-bin`)"
    )
    assert commands_text(f"get {i}" for i in range(9)) == "`veilmark models` says how to bring them"


def test_what_is_missing_comes_with_its_command() -> None:
    from cloak.detectors import DETECTORS, available

    missing = missing_detectors()
    assert set(missing) | set(available()) == {known.name for known in DETECTORS}
    assert not set(missing) & set(available()) and all(missing.values())
