"""Signing and reading C2PA manifests: what is said, what is kept private, what each damage is called."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from PIL import Image

from provenance.errors import CheckError, IdentityError, NoCredentialError, NotWritableError, UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Identity, create_identity
from provenance.identity.keyfiles import key_signer
from provenance.manifest.embed import Action, ManifestSpec, Parent, sign_manifest
from provenance.manifest.extract import extract_parts, extract_resource
from provenance.manifest.read import read_manifest
from provenance.media.picture import detect_format


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    root = tmp_path_factory.mktemp("identity")
    return create_identity(Home(root, root / "config"), subject="Jane Doe")


def _anchor(identity: Identity) -> list[str]:
    return [certificates.to_pem([identity.root])]


def _picture(path: Path, pixels: np.ndarray, form: str = "JPEG") -> Path:
    Image.fromarray(pixels).save(path, format=form, quality=90)
    return path


@pytest.fixture
def photo(portraits: dict[str, np.ndarray], tmp_path: Path) -> Path:
    return _picture(tmp_path / "photo.jpg", portraits["astronaut"][::2, ::2])


def _read(path: Path, anchors: list[str] | tuple[()] = ()):
    report = read_manifest(path, detect_format(path).mime, anchors_pem=anchors)
    assert report is not None
    return report


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_signed_pictures_are_trusted_by_who_trusts_the_root(
    form: str, suffix: str, portraits: dict[str, np.ndarray], tmp_path: Path, signer: Identity
) -> None:
    source = _picture(tmp_path / f"in.{suffix}", portraits["astronaut"][::4, ::4], form)
    output = tmp_path / f"out.{suffix}"
    store = sign_manifest(source, output, ManifestSpec(title="in"), signer)

    report = _read(output, _anchor(signer))
    assert report.state == "trusted"
    assert report.manifest_bytes == store
    assert report.chain_der == signer.chain_der
    assert report.key_id == signer.key_id
    assert (report.signer_name, report.algorithm) == ("Jane Doe", "es256")
    assert _read(output).state == "valid"
    assert np.array_equal(np.asarray(Image.open(source)), np.asarray(Image.open(output)))


@pytest.mark.parametrize("algorithm", ["es256", "es384", "ed25519"])
def test_every_algorithm_signs_and_is_read_back(algorithm: str, photo: Path, tmp_path: Path) -> None:
    identity = create_identity(Home(tmp_path, tmp_path), subject="Jane", algorithm=algorithm)
    sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), identity)
    report = _read(tmp_path / "out.jpg", _anchor(identity))
    assert (report.state, report.algorithm) == ("trusted", algorithm)


def test_another_self_made_root_of_the_same_name_is_not_trusted(
    photo: Path, tmp_path: Path, signer: Identity
) -> None:
    impostor = create_identity(Home(tmp_path, tmp_path), subject="Jane Doe")
    sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), impostor)
    assert _read(tmp_path / "out.jpg", _anchor(signer)).state == "valid"


def test_a_capture_says_what_it_was_told_and_nothing_else(
    photo: Path, tmp_path: Path, signer: Identity
) -> None:
    spec = ManifestSpec(
        title="Rally",
        author="Jane Doe",
        description="At the square",
        device="Canon EOS R5",
        captured_at="2026-11-22T10:00:00Z",
        location=(48.8584, -2.2945),
        fingerprints={"pdq": "ab" * 32},
    )
    sign_manifest(photo, tmp_path / "out.jpg", spec, signer)
    report = _read(tmp_path / "out.jpg")
    assert report.title == "Rally"
    assert report.digital_source_type == "digitalCapture"
    assert [action["action"] for action in report.actions] == ["c2pa.created"]
    assert (report.signed_time, report.time_kind) == ("2026-11-22T10:00:00Z", "self-asserted")
    assert report.metadata["dc:creator"] == ["Jane Doe"]
    assert report.metadata["tiff:Make"] == "Canon"
    assert report.metadata["tiff:Model"] == "EOS R5"
    assert report.metadata["exif:GPSLatitude"] == "48,51.504000N"
    assert report.metadata["exif:GPSLongitude"] == "2,17.670000W"
    assert report.soft_bindings == [{"alg": "org.veilmark.pdq", "value": "ab" * 32}]
    assert set(report.training.values()) == {"notAllowed"}

    sign_manifest(photo, tmp_path / "plain.jpg", ManifestSpec(allow_training=True), signer)
    plain = _read(tmp_path / "plain.jpg")
    assert plain.metadata == {}
    assert plain.thumbnail == ""
    assert set(plain.training.values()) == {"allowed"}


def test_a_film_is_bound_by_picture_and_sound(photo: Path, tmp_path: Path, signer: Identity) -> None:
    values = {"pdq": "ab" * 32, "pdq_time_ms": 1200, "chromaprint": "AQADtEmUaEkS", "frames": 9}
    sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(fingerprints=values), signer)
    report = _read(tmp_path / "out.jpg", _anchor(signer))
    assert report.state == "trusted"
    assert report.soft_bindings == [
        {"alg": "org.veilmark.pdq", "value": "ab" * 32},
        {"alg": "org.veilmark.chromaprint", "value": "AQADtEmUaEkS"},
    ]
    assertions = json.loads(report.crjson())["manifests"][0]["assertions"]
    assert assertions["c2pa.soft-binding"]["blocks"][0]["scope"]["timespan"] == {"start": 1200, "end": 1200}


def test_an_edit_chain_keeps_the_parents_manifest(photo: Path, tmp_path: Path, signer: Identity) -> None:
    sign_manifest(photo, tmp_path / "first.jpg", ManifestSpec(title="first"), signer)
    Image.open(photo).crop((0, 0, 100, 100)).save(tmp_path / "crop.jpg")
    spec = ManifestSpec(
        relation="edited",
        title="second",
        parents=[Parent(tmp_path / "first.jpg")],
        actions=[Action("c2pa.cropped", description="upper left")],
    )
    sign_manifest(tmp_path / "crop.jpg", tmp_path / "second.jpg", spec, signer)
    report = _read(tmp_path / "second.jpg", _anchor(signer))
    assert report.state == "trusted"
    assert [action["action"] for action in report.actions] == ["c2pa.opened", "c2pa.cropped"]
    assert report.actions[1]["digital_source_type"] == "humanEdits"
    (parent,) = report.ingredients
    assert parent["relationship"] == "parentOf"
    assert parent["manifest"]["title"] == "first"
    assert parent["manifest"]["signer"] == "Jane Doe"


def test_an_edit_that_nobody_named_is_still_an_edit(photo: Path, tmp_path: Path, signer: Identity) -> None:
    Image.open(photo).rotate(90).save(tmp_path / "turned.jpg")
    spec = ManifestSpec(relation="edited", parents=[Parent(photo)])
    sign_manifest(tmp_path / "turned.jpg", tmp_path / "out.jpg", spec, signer)
    report = _read(tmp_path / "out.jpg")
    assert [action["action"] for action in report.actions] == ["c2pa.opened", "c2pa.edited"]
    assert b"allActionsIncluded\xf4" in report.manifest_bytes, "CBOR false: the list may be incomplete"


def test_signing_a_signed_file_again_keeps_its_history(photo: Path, tmp_path: Path, signer: Identity) -> None:
    sign_manifest(photo, tmp_path / "first.jpg", ManifestSpec(title="first"), signer)
    sign_manifest(tmp_path / "first.jpg", tmp_path / "again.jpg", ManifestSpec(title="again"), signer)
    report = _read(tmp_path / "again.jpg")
    assert [action["action"] for action in report.actions] == ["c2pa.opened"]
    assert report.ingredients[0]["manifest"]["title"] == "first"


def test_an_unsigned_parent_becomes_an_ingredient_without_manifest(
    photo: Path, tmp_path: Path, signer: Identity
) -> None:
    spec = ManifestSpec(relation="cloaked", parents=[Parent(photo)])
    sign_manifest(photo, tmp_path / "out.jpg", spec, signer)
    report = _read(tmp_path / "out.jpg", _anchor(signer))
    assert report.state == "trusted"
    assert report.ingredients[0]["has_manifest"] is False
    assert report.ingredients[0]["title"] == "photo.jpg"


def test_a_cloaked_file_names_its_original_and_takes_nothing_over(
    photo: Path, tmp_path: Path, signer: Identity
) -> None:
    original = tmp_path / "original.jpg"
    secret = ManifestSpec(
        title="original", thumbnail=True, location=(48.8, 2.2), fingerprints={"pdq": "cd" * 32}
    )
    sign_manifest(photo, original, secret, signer)
    before = _read(original)
    assert before.thumbnail

    spec = ManifestSpec(relation="cloaked", title="cloaked", parents=[Parent(original, embed=False)])
    store = sign_manifest(photo, tmp_path / "cloaked.jpg", spec, signer)
    report = _read(tmp_path / "cloaked.jpg", _anchor(signer))
    assert report.state == "trusted"
    assert [action["action"] for action in report.actions] == ["c2pa.opened", "c2pa.filtered"]
    (parent,) = report.ingredients
    assert parent["title"] == "original.jpg"
    assert parent["instance_id"] == before.instance_id
    assert parent["manifest_label"] == before.active_label
    assert parent["manifest_sha256"] == before.manifest_sha256
    assert len(parent["sha256"]) == 64
    assert parent["thumbnail"] == ""
    assert b"\xff\xd8\xff" not in store
    assert b"GPSLatitude" not in store
    assert b"cd" * 32 not in store


def test_no_thumbnail_of_an_unsigned_original_gets_into_a_cloaked_file(
    photo: Path, tmp_path: Path, signer: Identity
) -> None:
    cloaked = tmp_path / "cloaked.png"
    Image.new("RGB", (64, 64), "grey").save(cloaked)
    spec = ManifestSpec(relation="cloaked", parents=[Parent(photo, embed=True)], thumbnail=True)
    sign_manifest(cloaked, tmp_path / "out.png", spec, signer)
    report = _read(tmp_path / "out.png", _anchor(signer))
    assert report.state == "trusted"
    assert report.ingredients[0]["thumbnail"] == ""
    data = extract_resource(tmp_path / "out.png", "image/png", report.thumbnail)
    assert np.asarray(Image.open(io.BytesIO(data)).convert("L")).std() < 2


def test_synthetic_media_says_so(photo: Path, tmp_path: Path, signer: Identity) -> None:
    spec = ManifestSpec(relation="synthetic", parents=[Parent(photo, relationship="componentOf")])
    sign_manifest(photo, tmp_path / "out.jpg", spec, signer)
    report = _read(tmp_path / "out.jpg")
    assert report.digital_source_type == "trainedAlgorithmicMedia"
    assert [action["action"] for action in report.actions] == ["c2pa.created", "c2pa.placed"]

    spec = ManifestSpec(relation="synthetic", digital_source_type="compositeWithTrainedAlgorithmicMedia")
    sign_manifest(photo, tmp_path / "mixed.jpg", spec, signer)
    assert _read(tmp_path / "mixed.jpg").digital_source_type == "compositeWithTrainedAlgorithmicMedia"


def test_a_changed_pixel_is_a_content_failure(photo: Path, tmp_path: Path, signer: Identity) -> None:
    sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), signer)
    data = bytearray((tmp_path / "out.jpg").read_bytes())
    data[-400] ^= 1
    (tmp_path / "out.jpg").write_bytes(data)
    report = _read(tmp_path / "out.jpg", _anchor(signer))
    assert report.state == "invalid"
    assert [failure.kind for failure in report.failures] == ["content"]
    assert report.ingredient_failures == []


def test_no_flipped_byte_of_the_manifest_goes_unnoticed(
    photo: Path, tmp_path: Path, signer: Identity
) -> None:
    store = sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(title="t"), signer)
    clean = (tmp_path / "out.jpg").read_bytes()
    start = clean.find(store[:64])
    rng = np.random.default_rng(5)
    places = {*range(start - 12, start + 120), *rng.integers(start, start + len(store), 80).tolist()}
    unnoticed = []
    for at in sorted(places):
        damaged = bytearray(clean)
        damaged[at] ^= 0x20
        (tmp_path / "damaged.jpg").write_bytes(damaged)
        report = read_manifest(tmp_path / "damaged.jpg", "image/jpeg", anchors_pem=_anchor(signer))
        # a flip in the type of a box, or in the segment around it, changes nothing of what is read
        if report is None or (report.state == "trusted" and report.manifest_bytes != store):
            unnoticed.append(at - start)
    assert unnoticed == []


def test_a_picture_without_manifest_has_none(photo: Path) -> None:
    assert read_manifest(photo, "image/jpeg", anchors_pem=()) is None


def test_thumbnails_can_be_taken_out(photo: Path, tmp_path: Path, signer: Identity) -> None:
    sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(thumbnail=True), signer)
    report = _read(tmp_path / "out.jpg")
    data = extract_resource(tmp_path / "out.jpg", "image/jpeg", report.thumbnail)
    assert max(Image.open(io.BytesIO(data)).size) == 256

    small = io.BytesIO()
    Image.new("RGB", (32, 32), "teal").save(small, "PNG")
    spec = ManifestSpec(thumbnail_data=small.getvalue())
    sign_manifest(photo, tmp_path / "own.jpg", spec, signer)
    own = _read(tmp_path / "own.jpg", _anchor(signer))
    assert own.state == "trusted"
    assert extract_resource(tmp_path / "own.jpg", "image/jpeg", own.thumbnail) == small.getvalue()


def test_everything_in_a_manifest_can_be_taken_out(photo: Path, tmp_path: Path, signer: Identity) -> None:
    sign_manifest(photo, tmp_path / "a.jpg", ManifestSpec(title="a", thumbnail=True), signer)
    spec = ManifestSpec(relation="edited", title="b", parents=[Parent(tmp_path / "a.jpg")], thumbnail=True)
    store = sign_manifest(photo, tmp_path / "b.jpg", spec, signer)
    parts = extract_parts(tmp_path / "b.jpg", "image/jpeg")
    assert parts[0].data == store
    assert {part.title for part in parts} == {"b", "a.jpg"}
    assert len({part.name for part in parts}) == len(parts) == 3
    for part in parts[1:]:
        Image.open(io.BytesIO(part.data)).load()
    with pytest.raises(NoCredentialError):
        extract_parts(photo, "image/jpeg")
    with pytest.raises(CheckError):
        extract_resource(tmp_path / "b.jpg", "image/jpeg", "self#jumbf=c2pa.assertions/none")


def test_impossible_wishes_are_refused_with_a_hint(photo: Path, tmp_path: Path, signer: Identity) -> None:
    output = tmp_path / "out.jpg"
    wrong = [
        ManifestSpec(relation="edited"),
        ManifestSpec(relation="stolen"),
        ManifestSpec(actions=[Action("c2pa.saved")]),
        ManifestSpec(actions=[Action("c2pa.created")]),
        ManifestSpec(actions=[Action("nonsense")]),
        ManifestSpec(location=(100.0, 0.0)),
        ManifestSpec(captured_at="yesterday"),
        ManifestSpec(captured_at="2026-11-22"),
        ManifestSpec(captured_at="2026-11-22T10:00:00"),
        ManifestSpec(captured_at="2026-13-22T10:00:00Z"),
        ManifestSpec(digital_source_type="photograph"),
        ManifestSpec(relation="edited", parents=[Parent(photo), Parent(photo)]),
        ManifestSpec(extra_assertions=[("nodot", {})]),
    ]
    for spec in wrong:
        with pytest.raises(UsageError):
            sign_manifest(photo, output, spec, signer)
        assert not output.exists()


def test_crjson_is_at_hand(photo: Path, tmp_path: Path, signer: Identity) -> None:
    sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), signer)
    parsed = json.loads(_read(tmp_path / "out.jpg").crjson())
    assert parsed["manifests"][0]["claim.v2"]["claim_generator_info"]["specVersion"] == "2.4.0"


def _with_manifest_of(signed: bytes, other: bytes) -> bytes:
    """A PNG with the manifest chunk of another one, as a copyist would make it."""

    def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
        found, at = [], 8
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "big")
            found.append((data[at + 4 : at + 8], data[at : at + 12 + size]))
            at += 12 + size
        return found

    stolen = next(whole for kind, whole in chunks(signed) if kind == b"caBX")
    parts = chunks(other)
    return other[:8] + parts[0][1] + stolen + b"".join(whole for _, whole in parts[1:])


def test_a_manifest_copied_into_another_picture_does_not_fit(
    portraits: dict[str, np.ndarray], tmp_path: Path, signer: Identity
) -> None:
    files = {}
    for name, pixels in portraits.items():
        files[name] = _picture(tmp_path / f"{name}.png", pixels[:64, :64], "PNG")
    sign_manifest(files["astronaut"], tmp_path / "signed.png", ManifestSpec(), signer)
    forged = _with_manifest_of((tmp_path / "signed.png").read_bytes(), files["hopper"].read_bytes())
    (tmp_path / "forged.png").write_bytes(forged)
    report = _read(tmp_path / "forged.png", _anchor(signer))
    assert report.state == "invalid"
    assert [failure.kind for failure in report.failures] == ["content"]


def test_a_self_made_agency_is_not_the_agency(photo: Path, tmp_path: Path) -> None:
    """Same names and same key identifiers in every field that can be copied; only the key differs."""
    agency = create_identity(Home(tmp_path / "a", tmp_path / "a"), subject="Reuters")
    key = certificates.generate_key("es256")
    fake_root = certificates.make_root(key, "Reuters")
    copied = agency.root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = x509.CertificateBuilder(
        subject_name=agency.root.subject,
        issuer_name=agency.root.issuer,
        public_key=key.public_key(),
        serial_number=agency.root.serial_number,
        not_valid_before=fake_root.not_valid_before_utc,
        not_valid_after=fake_root.not_valid_after_utc,
    )
    for extension in fake_root.extensions:
        value = copied if isinstance(extension.value, x509.SubjectKeyIdentifier) else extension.value
        builder = builder.add_extension(value, extension.critical)
    fake_root = builder.sign(key, hashes.SHA256())
    leaf_key = certificates.generate_key("es256")
    leaf = certificates.make_leaf(fake_root, key, leaf_key.public_key(), "Reuters")
    impostor = Identity("x", "imported", "es256", (leaf, fake_root), "", key_signer(leaf_key))
    sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), impostor)
    report = _read(tmp_path / "out.jpg", _anchor(agency))
    assert report.signer_name == "Reuters"
    assert report.state == "valid", "a claimed name is all it is"


def test_an_expired_certificate_signs_nothing_and_verifies_nothing(photo: Path, tmp_path: Path) -> None:
    key, leaf_key = certificates.generate_key("es256"), certificates.generate_key("es256")
    root = certificates.make_root(key, "Jane Doe")
    leaf = certificates.make_leaf(root, key, leaf_key.public_key(), "Jane Doe", days=0)
    identity = Identity("old", "imported", "es256", (leaf, root), "", key_signer(leaf_key))
    time.sleep(1.1)
    with pytest.raises(IdentityError, match="expired") as caught:
        sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), identity)
    assert "rotate" in str(caught.value.hint)


def test_a_full_disk_is_one_clear_error(photo: Path, tmp_path: Path, signer: Identity) -> None:
    """A limit on file size stands in for the full disk: the write fails half-way, with an OSError."""
    resource = pytest.importorskip("resource", reason="needs POSIX limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(NotWritableError, match=r"out\.jpg: File too large"):
            sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), signer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_signer_that_fails_says_why_and_nothing_is_printed(
    photo: Path, tmp_path: Path, signer: Identity, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(data: bytes) -> bytes:
        raise KeyboardInterrupt

    def broken(data: bytes) -> bytes:
        raise RuntimeError("token removed")

    for sign, kind in ((interrupted, KeyboardInterrupt), (broken, IdentityError)):
        failing = Identity("x", "imported", "es256", signer.chain, "", sign)
        with pytest.raises(kind):
            sign_manifest(photo, tmp_path / "out.jpg", ManifestSpec(), failing)
    with pytest.raises(NotWritableError):
        sign_manifest(photo, tmp_path / "absent/out.jpg", ManifestSpec(), signer)
    assert capfd.readouterr() == ("", "")
