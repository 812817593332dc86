"""Published trust lists: read in every form, kept, and used for what they are for."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import c2pa
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from provenance.errors import UsageError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.identity import Identity, create_identity
from provenance.identity.keyfiles import key_signer
from provenance.manifest.embed import ManifestSpec, sign_manifest
from provenance.manifest.read import read_manifest
from provenance.trust.anchors import Purpose
from provenance.trust.chain_validation import trusted_anchor
from provenance.trust.lists import TrustList, parse_list
from provenance.trust.shipped import SHIPPED
from provenance.trust.store import TrustStore
from tests.support import trust_lists
from tests.support.certificates import Bought

OWN_USAGE = ObjectIdentifier("1.3.6.1.4.1.32473.7")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    return create_identity(Home(tmp_path / "jane", tmp_path / "jane/config"), subject="Jane Doe")


@pytest.fixture
def signed(identity: Identity, portrait_files: dict[str, Path], tmp_path: Path) -> Path:
    sign_manifest(portrait_files["hopper"], tmp_path / "signed.jpg", ManifestSpec(), identity)
    return tmp_path / "signed.jpg"


def state(path: Path, store: TrustStore) -> str:
    report = read_manifest(path, "image/jpeg", anchors_pem=store.anchors)
    assert report is not None
    return str(report.state)


def test_entities_say_issue_next_update_and_who_is_no_longer_trusted() -> None:
    good, gone = trust_lists.authority("Good"), trust_lists.authority("Gone")
    parsed = parse_list(trust_lists.entities([(good, "trusted"), (gone, "revoked")], sequence=7))
    assert (parsed.title, parsed.operator, parsed.sequence) == ("C2PA Trust List", "Example Coalition", 7)
    assert (parsed.issued, parsed.next_update) == ("2026-08-05T00:00:00Z", "2027-08-05T00:00:00Z")
    assert [(one.name, one.operator, one.status, one.since) for one in parsed.certificates] == [
        ("Good root", "Example Cameras", "trusted", "2026-01-02T03:04:05Z"),
        ("Gone root", "Example Cameras", "revoked", "2026-01-02T03:04:05Z"),
    ]
    assert parsed.authorities() == certificates.to_pem([good])
    assert parsed.overdue(at=datetime(2027, 8, 6, tzinfo=UTC))
    assert not parsed.overdue(at=datetime(2027, 8, 4, tzinfo=UTC))


@pytest.mark.parametrize("name", ["c2pa", "c2pa-tsa"])
def test_what_travels_with_veilmark_can_be_read(name: str) -> None:
    shipped = next(one for one in SHIPPED["c2pa"] if one.name == name)
    parsed = parse_list(shipped.text())
    assert parsed.guessed_purpose() is shipped.purpose
    assert (parsed.sequence, parsed.issued[:10]) == (1, "2026-08-05")
    assert len(parsed.certificates) > 20 and all(one.trusted for one in parsed.certificates)
    assert not parsed.allowed()
    assert shipped.url.startswith("https://") and shipped.licence == "CC BY 4.0"


@pytest.mark.vectors
@pytest.mark.parametrize(("name", "count"), [("C2PA-TRUST-LIST", 30), ("C2PA-TSA-TRUST-LIST", 22)])
def test_both_published_forms_say_the_same(test_data: Path, name: str, count: int) -> None:
    folder = test_data / "vectors/trust-lists"
    pem, entities = (parse_list((folder / f"{name}{end}").read_text()) for end in (".pem", ".json"))
    assert {one.fingerprint for one in pem.certificates} == {one.fingerprint for one in entities.certificates}
    assert len(pem.certificates) == count
    assert pem.guessed_purpose() is entities.guessed_purpose()
    assert pem.sequence is None


@pytest.mark.vectors
def test_the_official_list_as_an_anchor_can_be_listed_and_removed(home: Home, test_data: Path) -> None:
    store = TrustStore.load(home)
    name = store.add_anchor((test_data / "vectors/trust-lists/C2PA-TRUST-LIST.pem").read_text())
    (entry,) = TrustStore.load(home).entries()
    assert len(entry.certificates) == 30 and "and 29 more" in entry.detail
    assert entry.expires == min(one["expires"] for one in entry.certificates)
    assert TrustStore.load(home).remove(name).name == name
    assert TrustStore.load(home).entries() == []


def test_a_bundle_of_many_anchors_is_used_everywhere(home: Home, identity: Identity, signed: Path) -> None:
    many = [trust_lists.authority(f"CA {number}") for number in range(25)]
    store = TrustStore.load(home)
    store.add_anchor(trust_lists.with_remarks([*many, identity.root]))
    assert state(signed, TrustStore.load(home)) == "trusted"
    chain = [certificates.to_der(one) for one in identity.chain]
    assert trusted_anchor(chain, store.anchors_pem) == "Jane Doe root"


@pytest.mark.parametrize("form", ["entities", "pem", "interim"])
def test_a_signer_on_a_list_is_trusted(home: Home, identity: Identity, signed: Path, form: str) -> None:
    other = trust_lists.authority("Other")
    published = {
        "entities": trust_lists.entities([(other, "trusted"), (identity.root, "trusted")]),
        "pem": trust_lists.with_remarks([other, identity.root]),
        "interim": "## This list is frozen.\n\n## Jane\n" + certificates.to_pem([identity.root]),
    }[form]
    assert state(signed, TrustStore.load(home)) == "valid"
    stored = TrustStore.load(home).add_list(published, "the list")
    assert (stored.name, stored.purpose) == ("the-list", Purpose.SIGNERS)
    assert state(signed, TrustStore.load(home)) == "trusted"
    TrustStore.load(home).remove("the-list")
    assert state(signed, TrustStore.load(home)) == "valid"


@pytest.mark.parametrize("status", ["revoked", "withdrawn", "suspended", "trusted-not"])
def test_a_signer_whose_authority_lost_its_standing_is_not(
    home: Home, identity: Identity, signed: Path, status: str
) -> None:
    store = TrustStore.load(home)
    store.add_list(trust_lists.entities([(identity.root, status)]), "c2pa")
    assert state(signed, TrustStore.load(home)) == "valid"
    (entry,) = store.entries()
    assert "1 no longer trusted" in entry.detail
    assert entry.certificates[0]["status"] == status


@pytest.mark.parametrize("purpose", [Purpose.TIME_STAMPS, Purpose.IDENTITIES])
def test_a_list_for_something_else_vouches_for_no_signer(
    home: Home, identity: Identity, signed: Path, purpose: Purpose
) -> None:
    TrustStore.load(home).add_list(certificates.to_pem([identity.root]), "list", purpose=purpose)
    assert state(signed, TrustStore.load(home)) == "valid"


@pytest.mark.parametrize("form", ["base64", "hex", "pem"])
def test_an_allowed_certificate_needs_no_authority(
    home: Home, identity: Identity, signed: Path, form: str
) -> None:
    published = {
        "base64": trust_lists.hashes([identity.leaf]),
        "hex": hashlib.sha256(certificates.to_der(identity.leaf)).hexdigest(),
        "pem": certificates.to_pem([identity.leaf]),
    }[form]
    store = TrustStore.load(home)
    store.add_list(published, "allowed")
    assert state(signed, TrustStore.load(home)) == "trusted"
    with pytest.raises(UsageError, match="certificate authorities only"):
        store.add_list(published, "other", purpose=Purpose.TIME_STAMPS)
    TrustStore.load(home).remove("allowed")
    store.add_list(trust_lists.hashes([identity.root]), "allowed")
    assert state(signed, TrustStore.load(home)) == "valid", (
        "an allowed list names end entities, not authorities"
    )


def test_a_key_usage_of_ones_own_is_configured(
    home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    bought = Bought()
    bought.usages = [OWN_USAGE]
    output = tmp_path / "out.jpg"
    chain = bought.chain()
    created = "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": created}]}
    definition = {
        "claim_version": 2,
        "claim_generator_info": [{"name": "test"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": actions, "created": True}],
    }
    settings = {
        "version": 1,
        "verify": {"verify_after_sign": False},
        "trust": {"trust_config": OWN_USAGE.dotted_string},
    }
    signer = c2pa.Signer.from_callback(
        key_signer(bought.key),  # type: ignore[arg-type]
        c2pa.C2paSigningAlg.ES256,
        chain,
    )
    with (
        c2pa.Context.from_dict(settings) as context,
        portrait_files["hopper"].open("rb") as source,
        output.open("w+b") as target,
    ):
        c2pa.Builder(definition, context=context).sign(signer, "image/jpeg", source, target)
    store = TrustStore.load(home)
    store.add_anchor(certificates.to_pem([bought.issuer]))
    assert state(output, store) == "invalid"
    store.add_list(f"// usages of our own\n{OWN_USAGE.dotted_string}\n", "usages")
    assert state(output, TrustStore.load(home)) == "trusted"


def test_usages_of_the_authorities_say_what_a_pem_list_is_for() -> None:
    bought = Bought()
    bought.is_ca = bought.signs_certificates = True
    bought.usages = [ExtendedKeyUsageOID.TIME_STAMPING]
    times = certificates.parse_chain(bought.chain())[0]
    root = trust_lists.authority("Plain")
    assert parse_list(trust_lists.with_remarks([times, root])).guessed_purpose() is Purpose.TIME_STAMPS
    assert parse_list(trust_lists.with_remarks([root])).guessed_purpose() is Purpose.SIGNERS
    assert TrustList(title="C2PA TSA Trust List").guessed_purpose() is Purpose.TIME_STAMPS


def _damaged() -> dict[str, str]:
    good = json.loads(trust_lists.entities([(trust_lists.authority("Good"), "trusted")]))
    scheme = good["LoTE"]["ListAndSchemeInformation"]
    cases = {
        "empty": "",
        "remarks only": "# nothing\n",
        "prose": "this is no list",
        "no list in JSON": "{}",
        "nested": '{"LoTE":' * 5000,
        "half a certificate": "-----BEGIN CERTIFICATE-----\nMIIB\n",
        "a key": certificates.to_pem([trust_lists.authority("x")]) + "-----BEGIN PRIVATE KEY-----\nMIIB\n",
        "no certificate inside": "-----BEGIN CERTIFICATE-----\nTUlJQg==\n-----END CERTIFICATE-----\n",
        "large": "#" * (2 * 1024 * 1024 + 1),
    }
    for name, change in (
        ("negative number", {"LoTESequenceNumber": -1}),
        ("a text as number", {"LoTESequenceNumber": "1"}),
        ("no date", {"ListIssueDateTime": "soon"}),
    ):
        body = {"LoTE": {**good["LoTE"], "ListAndSchemeInformation": {**scheme, **change}}}
        cases[name] = json.dumps(body)
    body = json.loads(json.dumps(good))
    service = body["LoTE"]["TrustedEntitiesList"][0]["TrustedEntityServices"][0]["ServiceInformation"]
    service["ServiceDigitalIdentity"]["X509Certificates"][0]["val"] = base64.b64encode(b"no DER").decode()
    cases["no certificate in JSON"] = json.dumps(body)
    return cases


@pytest.mark.parametrize(("case", "text"), _damaged().items(), ids=_damaged().keys())
def test_what_is_no_list_is_refused_and_nothing_is_kept(home: Home, case: str, text: str) -> None:
    with pytest.raises(UsageError):
        TrustStore.load(home).add_list(text, "list")
    assert not home.trust.exists()


def test_everything_kept_is_for_the_owner_alone(home: Home, identity: Identity) -> None:
    store = TrustStore.load(home)
    for purpose in Purpose:
        store.add_anchor(certificates.to_pem([identity.root]), purpose=purpose)
    store.add_list(SHIPPED["c2pa"][0].text(), "c2pa")
    files = [path for path in home.trust.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
