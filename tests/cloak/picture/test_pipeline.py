"""The picture pipeline from file to file, with real detectors and real files."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cloak import CloakOptions, cloak_bytes, cloak_picture, detectors
from cloak.assertion import already_cloaked
from cloak.attack.regions import GRID, plan_patches
from cloak.attack.whole_frame import SquareFrame
from cloak.detectors.base import Detections, FaceDetector
from cloak.detectors.geometry.matching import faces_found, merge_faces
from cloak.evaluate.detect import DetectorSet, confirmed_by, detect_pixels, find_faces
from cloak.picture.estimate import WorkEstimate
from cloak.strength import Strength
from provenance.errors import NoFaceError, OutputExistsError, UsageError
from provenance.media.picture import open_picture

torch.set_num_threads(1)
#: One quick detector for what is not about the attack itself.
QUICK = CloakOptions(
    strength="high", detectors=("centerface",), judges=(), attack="torchattacks:PGD", steps=12, rounds=1
)


@pytest.fixture(scope="module")
def centerface() -> FaceDetector:
    return detectors.load("centerface")


@pytest.fixture(scope="module")
def small(portraits: dict[str, np.ndarray]) -> np.ndarray:
    """A portrait of 160 x 160 pixels with a face of about 60."""
    return np.asarray(
        cv2.resize(portraits["astronaut"][:256, 96:352], (160, 160), interpolation=cv2.INTER_AREA)
    )


def _save(pixels: np.ndarray, path: Path, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]
    return path


@pytest.fixture(scope="module")
def cloaked(small: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The portrait and its cloak by the default attack against MTCNN and CenterFace, as JPEG files."""
    folder = tmp_path_factory.mktemp("cloak")
    source = _save(small, folder / "in.jpg", quality=95)
    options = CloakOptions(strength="high", detectors=("mtcnn", "centerface"), judges=())
    report = cloak_picture(source, folder / "out.jpg", options)
    assert report.success, report.lines()
    return source, folder / "out.jpg"


@pytest.mark.parametrize("name", ["mtcnn", "centerface"])
def test_the_written_file_hides_the_face(name: str, cloaked: tuple[Path, Path]) -> None:
    """Judged apart from the pipeline: decoded by Pillow, asked once before and once after."""
    detector = detectors.load(name)
    before, after = (np.asarray(Image.open(path).convert("RGB")) for path in cloaked)
    faces, _ = find_faces([detector], before)
    assert len(faces) == 1
    assert faces_found(detect_pixels(detector, after), faces).tolist() == [False]


def test_the_report_agrees_with_the_file(small: np.ndarray, centerface: FaceDetector) -> None:
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "PNG")
    progress: list[float] = []
    result = cloak_bytes(open_picture(buffer.getvalue()), QUICK, progress=progress.append)
    decoded = np.asarray(Image.open(io.BytesIO(result.encoded)))
    change = np.abs(decoded.astype(int) - small)
    assert result.report.largest_noise == change.max() <= Strength.HIGH.levels
    assert result.report.lossless and result.format == "PNG"
    assert result.report.quality.largest == change.max()
    after = result.report.detectors[0].after["published"]
    faces, _ = find_faces([centerface], small)
    assert after == sum(faces_found(detect_pixels(centerface, decoded), faces).tolist())
    assert progress == sorted(progress) and progress[-1] == 1.0
    shown = result.report.to_json()
    assert shown["schema"] == "veilmark.cloak-report/2" and shown["success"] is (after == 0)
    assert any("by hand" in line for line in result.report.lines())
    assert any("not asked" in note and "mtcnn" in note for note in result.report.notes)


@pytest.mark.parametrize("levels", list(Strength))
def test_the_budget_is_hard_in_lossless_files(levels: Strength, small: np.ndarray) -> None:
    options = CloakOptions(
        strength=levels,
        veil="noise",
        detectors=("centerface",),
        judges=(),
        steps=4,
        rounds=1,
        format="webp",
        quality=100,
    )
    picture = open_picture(_encoded(small, "PNG"))
    decoded = np.asarray(Image.open(io.BytesIO(cloak_bytes(picture, options).encoded)))
    assert 0 < np.abs(decoded.astype(int) - small).max() <= levels.levels


def _encoded(pixels: np.ndarray, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, name, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def test_grey_stays_grey(small: np.ndarray) -> None:
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    for pixels in (grey, np.repeat(grey[..., None], 3, 2)):
        result = cloak_bytes(open_picture(_encoded(pixels, "PNG")), QUICK)
        decoded = np.asarray(Image.open(io.BytesIO(result.encoded)).convert("RGB")).astype(int)
        assert (decoded[..., 0] == decoded[..., 1]).all() and (decoded[..., 1] == decoded[..., 2]).all()
        assert np.abs(decoded[..., 0] - grey).max() > 0


def test_alpha_palette_cmyk_and_sixteen_bits_are_taken(small: np.ndarray) -> None:
    alpha = np.dstack([small, np.tile(np.linspace(60, 255, 160), (160, 1)).astype(np.uint8)])
    result = cloak_bytes(open_picture(_encoded(alpha, "PNG")), QUICK)
    decoded = np.asarray(Image.open(io.BytesIO(result.encoded)))
    assert decoded.shape == (160, 160, 4) and (decoded[..., 3] == alpha[..., 3]).all()

    palette, cmyk, deep = io.BytesIO(), io.BytesIO(), io.BytesIO()
    Image.fromarray(small).quantize(200).save(palette, "PNG")
    Image.fromarray(small).convert("CMYK").save(cmyk, "JPEG", quality=95)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257
    Image.fromarray(grey).save(deep, "PNG")
    for data in (palette.getvalue(), cmyk.getvalue(), deep.getvalue()):
        result = cloak_bytes(open_picture(data), QUICK)
        assert Image.open(io.BytesIO(result.encoded)).size == (160, 160)
        assert result.report.detectors[0].before == 1


def test_exif_is_kept_without_place_or_preview(
    small: np.ndarray, tmp_path: Path, centerface: FaceDetector
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = 6
    exif.get_ifd(0x8825).update({1: "N", 2: (1.0, 2.0, 3.0)})
    turned = np.rot90(small)  # so that orientation 6 shows it upright
    source = tmp_path / "turned.jpg"
    Image.fromarray(np.ascontiguousarray(turned)).save(source, exif=exif, quality=95)
    output = tmp_path / "cloaked.jpg"
    cloak_picture(source, output, QUICK)
    written = Image.open(output)
    tags = written.getexif()
    assert tags[0x010F] == "Maker" and tags.get(0x0112, 1) == 1
    assert not tags.get_ifd(0x8825)
    upright = np.asarray(written.convert("RGB"))
    assert np.abs(upright.astype(int) - small).mean() < 12
    # no second picture is inside, be it a thumbnail or a preview
    data = output.read_bytes()
    assert data.count(b"\xff\xd8\xff") == 1


def test_a_picture_without_faces_writes_nothing(tmp_path: Path) -> None:
    source = _save(np.full((120, 160, 3), 128, np.uint8), tmp_path / "empty.png")
    with pytest.raises(NoFaceError):
        cloak_picture(source, tmp_path / "out.png", QUICK)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["empty.png"]


def test_an_existing_output_is_refused_before_any_work(small: np.ndarray, tmp_path: Path) -> None:
    source = _save(small, tmp_path / "in.png")
    output = _save(small, tmp_path / "out.png")
    with pytest.raises(OutputExistsError):
        cloak_picture(source, output, QUICK)


def test_animated_pictures_are_refused(small: np.ndarray, tmp_path: Path) -> None:
    frames = [Image.fromarray(small), Image.fromarray(small[::-1])]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], duration=100)
    with pytest.raises(UsageError, match="frames"):
        cloak_picture(tmp_path / "moving.webp", tmp_path / "out.webp", QUICK)


def test_a_weak_attack_is_reported_as_partial(small: np.ndarray) -> None:
    options = CloakOptions(
        strength="low", detectors=("mtcnn",), judges=("centerface",), attack="torchattacks:FGSM", rounds=1
    )
    report = cloak_bytes(open_picture(_encoded(small, "JPEG", quality=95)), options).report
    assert not report.success
    assert {one.name: one.attacked for one in report.detectors} == {"mtcnn": True, "centerface": False}
    (face,) = report.faces
    assert face.chosen and not face.hidden and "mtcnn" in face.found_by["published"]
    assert face.to_json()["found_by"].keys() == {"published", "jpeg75", "half"}
    # the attack searched less than it might have, so no larger change is advised
    assert (
        report.advice.startswith("face 0 is still found by mtcnn") and "leave out --attack" in report.advice
    )
    assert "--strength" not in report.advice and report.advice in report.lines()


def test_only_the_chosen_face_is_touched(small: np.ndarray, centerface: FaceDetector) -> None:
    pair = np.concatenate([small, small[:, ::-1]], axis=1)
    faces, _ = find_faces([centerface], pair)
    assert len(faces) == 2
    options = CloakOptions(
        strength="mid",
        veil="noise",
        detectors=("centerface",),
        judges=(),
        steps=8,
        rounds=1,
        faces=(0,),
        format="png",
    )
    result = cloak_bytes(open_picture(_encoded(pair, "PNG")), options)
    change = np.abs(np.asarray(Image.open(io.BytesIO(result.encoded))).astype(int) - pair).max(axis=2)
    first, second = faces.round().int().tolist()
    assert change[first[1] : first[3], first[0] : first[2]].max() > 0
    assert change[second[1] : second[3], second[0] : second[2]].max() == 0
    assert [face.chosen for face in result.report.faces] == [True, False]
    with pytest.raises(UsageError, match="2 faces"):
        cloak_bytes(open_picture(_encoded(pair, "PNG")), CloakOptions(detectors=("centerface",), faces=(7,)))


@pytest.mark.parametrize("cut", [np.s_[:, 62:], np.s_[48:, :]], ids=["left", "top"])
def test_faces_at_the_border_are_hidden(cut: tuple[slice, slice], small: np.ndarray) -> None:
    """Half a face, whose box reaches beyond the picture."""
    result = cloak_bytes(open_picture(_encoded(np.ascontiguousarray(small[cut]), "PNG")), QUICK)
    box = result.report.faces[0].box
    assert min(box[:2]) < 4
    assert result.report.detectors[0].before == 1 and result.report.success
    assert result.report.quality.largest <= Strength.HIGH.levels


def test_tiny_pictures_and_slivers_have_no_face() -> None:
    options = CloakOptions(steps=1, rounds=1)
    for shape in ((1, 300, 3), (20, 20, 3)):
        with pytest.raises(NoFaceError):
            cloak_bytes(open_picture(_encoded(np.full(shape, 90, np.uint8), "PNG")), options)


@pytest.mark.slow
def test_a_large_picture_costs_no_more_than_its_face(portraits: dict[str, np.ndarray]) -> None:
    """Six megapixels: the face is worked on at reduced size, and the result still holds at full size."""
    large = cv2.resize(portraits["astronaut"], (2448, 2448), interpolation=cv2.INTER_CUBIC)
    result = cloak_bytes(open_picture(_encoded(large, "JPEG", quality=92)), QUICK)
    assert result.report.size == (2448, 2448) and result.report.judged_at == (1280, 1280)
    assert result.report.detectors[0].before == 1
    assert any("1280" in note for note in result.report.notes)


@pytest.mark.slow
def test_a_hundred_faces_are_worked_on_and_told_apart(small: np.ndarray) -> None:
    crowd = np.concatenate([np.concatenate([small, small[:, ::-1]] * 5, axis=1)] * 10, axis=0)
    options = CloakOptions(
        strength="high", veil="noise", detectors=("centerface",), judges=(), steps=16, rounds=1
    )
    plans: list[WorkEstimate] = []
    result = cloak_bytes(open_picture(_encoded(crowd, "JPEG", quality=92)), options, on_estimate=plans.append)
    report = result.report
    assert plans[0].faces == report.detectors[0].before == sum(face.chosen for face in report.faces) == 100
    assert [face.number for face in report.faces] == list(range(100))
    assert report.detectors[0].after["published"] < 50, "most are hidden even by so short a search"


def test_patches_cover_faces_on_the_grid_and_join_neighbours() -> None:
    faces = torch.tensor(
        [[100.0, 100.0, 180.0, 200.0], [190.0, 110.0, 270.0, 205.0], [900.0, 5.0, 940.0, 50.0]]
    )
    patches = plan_patches((600, 1000), faces)
    assert sorted(index for patch in patches for index in patch.faces) == [0, 1, 2]
    assert len(patches) == 2
    for patch in patches:
        assert patch.left % GRID == 0 and patch.top % GRID == 0
        assert 0 <= patch.left < patch.right <= 1000 and 0 <= patch.top < patch.bottom <= 600
        for index in patch.faces:
            x1, y1, x2, y2 = faces[index].tolist()
            assert patch.left <= x1 and patch.top <= y1 and patch.right >= x2 and patch.bottom >= y2
    huge = plan_patches((4000, 6000), torch.tensor([[2000.0, 1000.0, 3500.0, 2800.0]]))[0]
    assert huge.scale < 0.15 and max(huge.height, huge.width) < 640


def test_reports_of_one_face_are_merged(portraits: dict[str, np.ndarray]) -> None:
    loaded = [detectors.load("mtcnn"), detectors.load("centerface")]
    faces, reports = find_faces(loaded, portraits["astronaut"])
    assert len(faces) == 1 and len(reports) == 2
    assert len(merge_faces([])) == 0


def test_a_body_does_not_swallow_the_faces_in_it() -> None:
    """Five people, of whom one detector also reports a body: six boxes, of which the five faces keep their own."""
    faces = torch.tensor([[20.0 + 90 * n, 30.0, 60.0 + 90 * n, 80.0] for n in range(5)])
    body = torch.tensor([[0.0, 20.0, 80.0, 119.0]])  # nearly four times the face in it
    sloppy = Detections(torch.cat([body, faces]), torch.ones(6))
    exact = Detections(faces + torch.tensor([1.0, -2.0, 2.0, 1.0]), torch.ones(5))
    for reports in ([sloppy, exact, exact], [exact, sloppy, exact], [exact, exact, sloppy]):
        merged = merge_faces(reports)
        assert len(merged) == 6 and merged[0].tolist() == body[0].tolist()
        assert (merged[1:, 2:] - merged[1:, :2]).prod(1).max() < 1.2 * 40 * 50


def test_a_body_that_one_detector_reports_is_no_face() -> None:
    """The faces that others report in it do not speak for it."""
    face = torch.tensor([[100.0, 60.0, 150.0, 125.0]])
    body = torch.tensor([[80.0, 55.0, 170.0, 195.0]])
    ones = torch.ones(2)
    reports = {
        "mtcnn": Detections(face, ones[:1]),
        "centerface": Detections(face + 1, ones[:1]),
        "blazeface-back": Detections(torch.cat([face, body]), ones),
    }
    attacked = [detectors.load(name) for name in reports]
    for one, name in zip(attacked, reports, strict=True):
        one.name = name  # type: ignore[misc]
    seen = merge_faces(list(reports.values()))
    assert len(seen) == 2
    assert confirmed_by(seen, reports, DetectorSet(attacked, []), explicit=False).tolist() == [False, True]


def _reported(name: str, *boxes: list[float]) -> tuple[FaceDetector, Detections]:
    detector = detectors.load(name)
    return detector, Detections(torch.tensor(boxes).reshape(-1, 4), torch.ones(len(boxes)))


def test_a_part_of_a_face_is_no_face_of_its_own() -> None:
    """An eye of a large face, which two families report as a face; the same report elsewhere is one."""
    face, eye, away = [100.0, 60.0, 300.0, 310.0], [120.0, 120.0, 190.0, 200.0], [400.0, 120.0, 470.0, 200.0]
    asked = [
        _reported("mtcnn", face),
        _reported("centerface", face, eye, away),
        _reported("blazeface-back", face, eye, away),
    ]
    seen, reports = torch.tensor([face, eye, away]), {one.name: report for one, report in asked}
    known = DetectorSet([one for one, _ in asked], [])
    for explicit in (False, True):  # three families were named: they form a quorum as well
        assert confirmed_by(seen, reports, known, explicit=explicit).tolist() == [True, False, True]


def test_retinaface_alone_is_believed_only_where_nobody_else_was_asked() -> None:
    face, lap = [100.0, 60.0, 300.0, 310.0], [400.0, 120.0, 470.0, 200.0]
    asked = [_reported("mtcnn", face, lap), _reported("centerface", face), _reported("blazeface-back", face)]
    asked[0][0].family = "retinaface"  # type: ignore[misc]
    seen, reports = torch.tensor([face, lap]), {one.name: report for one, report in asked}
    three, two = DetectorSet([one for one, _ in asked], []), DetectorSet([one for one, _ in asked[:2]], [])
    assert confirmed_by(seen, reports, three, explicit=False).tolist() == [True, False]
    assert confirmed_by(seen, reports, two, explicit=False).tolist() == [True, True]


def test_detectors_of_two_families_that_were_named_need_no_quorum() -> None:
    face, lone = [100.0, 60.0, 300.0, 310.0], [400.0, 120.0, 470.0, 200.0]
    asked = [_reported("blazeface-back", face, lone), _reported("centerface", face)]
    seen, reports = torch.tensor([face, lone]), {one.name: report for one, report in asked}
    known = DetectorSet([one for one, _ in asked], [])
    assert confirmed_by(seen, reports, known, explicit=True).tolist() == [True, True]
    assert confirmed_by(seen, reports, known, explicit=False).tolist() == [True, False]


def test_an_unsigned_picture_is_not_taken_for_a_cloaked_one(small: np.ndarray, tmp_path: Path) -> None:
    assert not already_cloaked(_save(small, tmp_path / "plain.png"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": "extreme"},
        {"attack": "PGD"},
        {"steps": 0},
        {"quality": 101},
        {"decoys": 100},
        {"faces": ()},
        {"rounds": 0},
        {"veil": "lace"},
        {"veil": "film", "attack": "torchattacks:PGD"},
        {"veil": "film-bw", "strict": True},
        {"veil": "light", "smooth": 1.0},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        CloakOptions(**wrong)  # type: ignore[arg-type]


def test_the_square_frame_puts_noise_and_boxes_in_the_same_place() -> None:
    """Noise inside a face of the patch must show up inside that face's box in the whole picture."""
    pixels = np.full((800, 1000, 3), 100, np.uint8)
    face = torch.tensor([[500.0, 300.0, 756.0, 620.0]])
    (patch,) = plan_patches((800, 1000), face)
    assert patch.scale < 1
    inside = patch.boxes(face)
    noise = torch.zeros(1, 3, patch.height, patch.width)
    x1, y1, x2, y2 = inside[0].round().int().tolist()
    noise[..., y1:y2, x1:x2] = 0.1
    shown = SquareFrame(pixels, "cpu").with_noise_of(patch, []).render(noise, 256)
    rows, columns = ((shown.pixels - 100 / 255)[0, 0].gt(0.05).any(axis).nonzero()[:, 0] for axis in (1, 0))
    seen = torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()
    assert torch.allclose(shown.boxes(inside)[0], seen, atol=1.5)
    bar = torch.tensor([0.0, 100.0, 0.0, 100.0])  # black above and below the picture
    assert torch.allclose(shown.boxes(inside), (face + bar) * 0.256, atol=1.0)


def test_the_square_frame_is_what_detectors_make_of_the_whole_picture(
    portraits: dict[str, np.ndarray],
) -> None:
    pixels = portraits["hopper"]
    values = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    square = torch.nn.functional.pad(values, (44, 44, 0, 0))
    reduced = torch.nn.functional.interpolate(square, size=(128, 128), mode="bilinear", antialias=True)
    assert pixels.shape[:2] == (600, 512)
    assert torch.allclose(SquareFrame(pixels, "cpu").square(128), reduced, atol=1e-4)
