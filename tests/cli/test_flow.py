"""The main job, through the command: sign, verify, refuse tampering, find again."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.ledger.receipt import Receipt
from tests.cli.conftest import Run

Command = Callable[..., Run]


def flip_byte(path: Path, at: float = 0.9) -> None:
    """Invert one bit of a byte near the end, inside the compressed pixels."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 0x01
    path.write_bytes(data)


def test_init_twice_keeps_the_identity(veilmark: Command) -> None:
    first = veilmark("init", "--name", "Ada", "--json").json[0]
    second = veilmark("init", "--json").json[0]
    assert second["key_id"] == first["key_id"]
    assert second["log_key"] == first["log_key"]


def test_commands_that_need_init_say_so(veilmark: Command, portrait_files: dict[str, Path]) -> None:
    for command in ("sign", "find", "record", "cloak"):
        done = veilmark(command, portrait_files["hopper"])
        assert done.code == 2, command
        assert "veilmark init" in done.err, command
    assert veilmark("verify", portrait_files["hopper"]).code == 4


def test_signed_file_is_trusted_here_and_unknown_elsewhere(
    ready: Command, signed: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdict = ready("verify", signed["hopper"], "--json").json[0]
    assert verdict["state"] == "trusted"
    assert verdict["ledger"]["status"] == "logged"
    assert verdict["relation"] == "captured"
    assert verdict["digital_source_type"] == "digitalCapture"
    assert verdict["signer"]["name"] == "Test Photographer"

    monkeypatch.setenv("VEILMARK_HOME", str(tmp_path / "stranger"))
    done = ready("verify", signed["hopper"], "--json")
    assert done.code == 5
    assert done.json[0]["ledger"]["status"] == "logged-in-an-unknown-log"
    assert not (tmp_path / "stranger").exists(), "verifying must not create state"


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP"])
def test_one_flipped_byte_is_refused_and_named(
    ready: Command, portraits: dict[str, np.ndarray], tmp_path: Path, fmt: str
) -> None:
    source = tmp_path / f"picture.{fmt.lower()}"
    Image.fromarray(portraits["astronaut"]).save(source)
    output = tmp_path / f"out.{fmt.lower()}"
    assert ready("sign", source, "-o", output).code == 0
    assert ready("verify", output).code == 0
    flip_byte(output, 0.6)
    done = ready("verify", output, "--json")
    assert done.code == 1
    failed = [check for check in done.json[0]["checks"] if check["passed"] is False]
    assert failed and (failed[0]["name"], failed[0]["code"][:10]) == ("manifest", "assertion.")
    assert failed[0]["detail"]


def test_stripped_reencoded_copy_is_found(ready: Command, signed: dict[str, Path], tmp_path: Path) -> None:
    copy = tmp_path / "found-on-the-web.jpg"
    with Image.open(signed["astronaut"]) as picture:
        picture.resize((300, 300)).save(copy, quality=60)
    verdict = ready("verify", copy, "--json")
    assert verdict.code == 4
    assert verdict.json[0]["state"] == "no-credential"
    assert verdict.json[0]["similar"], "likeness is reported, but is no success"
    found = ready("find", copy, "--json")
    assert found.code == 0
    record = found.json[0]["records"][0]
    assert record["signer_name"] == "Test Photographer"
    assert record["match"] in ("pdq", "features")


def test_unknown_picture_is_not_found(ready: Command, signed: dict[str, Path], tmp_path: Path) -> None:
    import skimage.data

    stranger = tmp_path / "cat.png"
    Image.fromarray(skimage.data.cat() if hasattr(skimage.data, "cat") else skimage.data.coffee()).save(
        stranger
    )
    assert ready("find", stranger).code == 4
    assert ready("verify", stranger).code == 4


def test_record_without_touching(ready: Command, portrait_files: dict[str, Path]) -> None:
    path = portrait_files["hopper"]
    before = path.read_bytes()
    assert ready("record", path).code == 0
    assert path.read_bytes() == before
    verdict = ready("verify", path, "--json")
    assert verdict.code == 0, verdict.out
    assert verdict.json[0]["relation"] == "recorded"
    flip_byte(path)
    done = ready("verify", path, "--json")
    assert done.code == 1
    assert "does not belong to this file" in done.json[0]["headline"]


def test_a_foreign_receipt_gives_no_standing(ready: Command, signed: dict[str, Path]) -> None:
    receipt = Path(f"{signed['hopper']}.receipt")
    receipt.write_bytes(Path(f"{signed['astronaut']}.receipt").read_bytes())
    verdict = ready("verify", signed["hopper"], "--json").json[0]
    assert verdict["ledger"]["status"] == "receipt-does-not-belong-to-this-file"
    assert any("does not belong" in warning for warning in verdict["warnings"])
    named = ready("verify", signed["hopper"], "--receipt", receipt)
    assert named.code == 1


def test_resigned_copy_warns_of_the_earlier_record(
    ready: Command, signed: dict[str, Path], tmp_path: Path
) -> None:
    stolen = tmp_path / "stolen.jpg"
    with Image.open(signed["astronaut"]) as picture:
        picture.save(stolen, quality=80)
    assert ready("identity", "new", "thief", "--subject", "Thief").code == 0
    resigned = tmp_path / "mine.jpg"
    assert ready("sign", stolen, "-o", resigned, "--identity", "thief").code == 0
    verdict = ready("verify", resigned, "--json").json[0]
    assert any("earlier in the ledger" in warning for warning in verdict["warnings"]), verdict["warnings"]
    original = ready("verify", signed["astronaut"], "--json").json[0]
    assert not any("earlier in the ledger" in warning for warning in original["warnings"])


def test_a_forged_record_beside_a_file_spoils_no_manifest(ready: Command, signed: dict[str, Path]) -> None:
    receipt = Path(f"{signed['hopper']}.receipt")
    whole = Receipt.from_bytes(receipt.read_bytes())
    signature = bytes([whole.opening.signed.signature[0] ^ 1]) + whole.opening.signed.signature[1:]
    forged = replace(
        whole, opening=replace(whole.opening, signed=replace(whole.opening.signed, signature=signature))
    )
    receipt.write_bytes(forged.to_bytes())
    done = ready("verify", signed["hopper"], "--json")
    assert done.code == 0, done.out
    assert done.json[0]["ledger"]["status"] == "receipt-does-not-belong-to-this-file"
    assert any("not signed by" in warning for warning in done.json[0]["warnings"])
    assert ready("verify", signed["hopper"], "--receipt", receipt).code == 1


def test_an_edit_that_names_what_it_was_made_from_is_not_suspected(
    ready: Command, signed: dict[str, Path], tmp_path: Path
) -> None:
    for name in ("editor", "retoucher"):
        assert ready("identity", "new", name, "--subject", name.title()).code == 0
    crop, first, second = tmp_path / "crop.jpg", tmp_path / "first.jpg", tmp_path / "second.jpg"
    with Image.open(signed["astronaut"]) as picture:
        picture.save(crop, quality=80)
    edit = ("--action", "c2pa.cropped", "--identity")
    assert ready("sign", crop, "-o", first, "--parent", signed["astronaut"], *edit, "editor").code == 0
    assert ready("sign", crop, "-o", second, "--parent", first, *edit, "retoucher").code == 0
    for path in (first, second):
        verdict = ready("verify", path, "--json").json[0]
        assert len(verdict["similar"]) == 3
        assert not any("stripped" in warning for warning in verdict["warnings"]), verdict["warnings"]


def test_editing_chain_names_its_parent(ready: Command, signed: dict[str, Path], tmp_path: Path) -> None:
    crop = tmp_path / "crop.jpg"
    with Image.open(signed["astronaut"]) as picture:
        picture.crop((100, 0, 400, 300)).save(crop, quality=90)
    output = tmp_path / "crop-signed.jpg"
    done = ready("sign", crop, "-o", output, "--parent", signed["astronaut"], "--action", "c2pa.cropped")
    assert done.code == 0, done.err
    verdict = ready("verify", output, "--json").json[0]
    assert verdict["relation"] == "edited"
    assert verdict["ingredients"][0]["has_manifest"]
    assert "c2pa.cropped" in [action["action"] for action in verdict["actions"]]


def test_standard_input(ready: Command, portrait_files: dict[str, Path], tmp_path: Path) -> None:
    data = portrait_files["hopper"].read_bytes()
    output = tmp_path / "from-stdin.jpg"
    assert ready("sign", "-", "-o", output, stdin=data).code == 0
    assert ready("verify", "-", stdin=output.read_bytes()).code == 0
    assert ready("sign", "-", stdin=data).code == 2


def test_folder_in_folder_out_and_resume(
    ready: Command, portraits: dict[str, np.ndarray], tmp_path: Path
) -> None:
    folder = tmp_path / "in" / "deep"
    folder.mkdir(parents=True)
    for index in range(3):
        Image.fromarray(portraits["hopper"]).rotate(index).save(folder / f"{index}.jpg")
    (folder / "notes.txt").write_text("not a picture")
    (folder / "broken.jpg").write_text("not a picture either")
    out = tmp_path / "out"
    done = ready("sign", tmp_path / "in", "-o", out, "--json", "--jobs", "2")
    assert done.code == 3
    assert [line.get("error") for line in done.json] == [None, None, None, "UnknownFormatError"]
    assert sorted(path.name for path in (out / "deep").glob("*.jpg")) == ["0.jpg", "1.jpg", "2.jpg"]
    assert ready("sign", tmp_path / "in", "-o", out).code == 2
    (folder / "broken.jpg").unlink()
    again = ready("sign", tmp_path / "in", "-o", out, "--resume", "--json")
    assert again.code == 0
    assert all(line["skipped"] == "exists" for line in again.json)
    assert ready("verify", out, "--brief").code == 0


def test_existing_output_needs_force(
    ready: Command, signed: dict[str, Path], portrait_files: dict[str, Path]
) -> None:
    before = signed["hopper"].read_bytes()
    done = ready("sign", portrait_files["hopper"], "-o", signed["hopper"])
    assert done.code == 2 and "--force" in done.err
    assert signed["hopper"].read_bytes() == before
    assert ready("sign", portrait_files["hopper"], "-o", signed["hopper"], "--force").code == 0


def test_in_place_keeps_one_valid_file(ready: Command, portrait_files: dict[str, Path]) -> None:
    path = portrait_files["hopper"]
    assert ready("sign", path, "--in-place").code == 0
    assert ready("verify", path).code == 0
    assert [p.name for p in path.parent.glob(".veilmark-*")] == []


def test_exif_orientation_and_profile_survive_signing(ready: Command, tmp_path: Path) -> None:
    from PIL import ImageCms

    source = tmp_path / "camera.jpg"
    exif = Image.Exif()
    exif[0x0110] = "Test Camera"
    exif[0x0112] = 6
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(source, exif=exif, icc_profile=icc)
    output = tmp_path / "signed.jpg"
    assert ready("sign", source, "-o", output).code == 0
    with Image.open(output) as picture:
        assert picture.getexif()[0x0110] == "Test Camera"
        assert picture.getexif()[0x0112] == 6
        assert picture.info["icc_profile"] == icc
        stream = io.BytesIO()
        picture.save(stream, "PNG")


def test_bytes_that_the_manifest_does_not_cover_are_covered_by_the_record(
    ready: Command, signed: dict[str, Path]
) -> None:
    data = bytearray(signed["hopper"].read_bytes())
    at = data.index(b"jumb")
    data[at : at + 4] = b"jumc"  # the type of the outermost box lies outside of every C2PA hash
    signed["hopper"].write_bytes(data)
    done = ready("verify", signed["hopper"], "--json")
    print(done.code, done.out)
    assert done.code == 1


def test_verdict_page_escapes_what_files_say(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    output, page = tmp_path / "signed.jpg", tmp_path / "verdict.html"
    done = ready("sign", portrait_files["hopper"], "-o", output, "--title", "<script>alert(1)</script>")
    assert done.code == 0, done.err
    edited = tmp_path / "edited.jpg"
    assert ready("sign", output, "-o", edited).code == 0
    assert ready("verify", edited, output, "--html", page).code == 0
    text = page.read_text()
    assert "Made from" in text and "edited into this" in text and text.count("data:image/jpeg") == 2
    assert "<script" not in text and "&lt;script&gt;" in text
    assert text.count('<article class="good">') == 2


def test_verdict_page_shows_what_a_manifest_kept_of_each_step(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    first, second, page = tmp_path / "first.jpg", tmp_path / "second.jpg", tmp_path / "verdict.html"
    assert ready("sign", portrait_files["hopper"], "-o", first, "--thumbnail").code == 0
    assert ready("sign", first, "-o", second, "--action", "c2pa.cropped").code == 0
    assert ready("verify", second, "--html", page).code == 0
    assert page.read_text().count("data:image/jpeg") == 2  # the file, and the step before it
    tampered = bytearray(second.read_bytes())
    tampered[-100] ^= 255
    second.write_bytes(tampered)
    refused = ready("verify", second, "--html", page)
    assert refused.code == 2 and "already exists" in refused.err and refused.out == "", (
        "before anything is looked at"
    )
    assert ready("verify", second, "--html", page, "--force").code == 1
    assert page.read_text().count("data:image/jpeg") <= 1  # nobody vouches for the other any more


def test_extract_gives_manifest_thumbnail_and_crjson(
    ready: Command, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    output, parts = tmp_path / "signed.jpg", tmp_path / "parts"
    assert ready("sign", portrait_files["hopper"], "-o", output, "--thumbnail").code == 0
    assert ready("extract", output, "-o", parts).code == 0
    with Image.open(next(parts.glob("thumbnail-*"))) as thumbnail:
        assert min(thumbnail.size) > 100
    assert ready("verify", portrait_files["hopper"], "--sidecar", parts / "manifest.c2pa").code == 1
    assert json.loads(ready("extract", output, "--crjson").out)["manifests"]
    assert ready("extract", portrait_files["astronaut"], "-o", parts, "--force").code == 4
    assert ready("extract", output).code == 2


def test_files_verified_at_the_same_time_are_told_in_order(
    ready: Callable[..., Run], signed: dict[str, Path], tmp_path: Path
) -> None:
    place = tmp_path / "many"
    place.mkdir()
    for number in range(4):
        for name, path in signed.items():
            shutil.copy(path, place / f"{number}-{name}.jpg")
    altered = bytearray((place / "2-hopper.jpg").read_bytes())
    altered[-100] ^= 255
    (place / "2-hopper.jpg").write_bytes(altered)
    for likeness in ("--similar", "--no-similar"):
        alone = ready("verify", place, "--json", likeness)
        together = ready("verify", place, "--json", likeness, "--jobs", "3")
        assert together.code == alone.code == 1
        assert together.json == alone.json and len(alone.json) == 8
