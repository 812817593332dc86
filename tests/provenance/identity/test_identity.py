"""Identities: made once, kept private, refused when they are not."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from provenance.errors import IdentityError, NotInitializedError, NotWritableError
from provenance.home import Home
from provenance.identity import certificates
from provenance.identity.certificate_faults import find_faults
from provenance.identity.identity import (
    create_identity,
    default_name,
    identity_folder,
    list_names,
    load_identity,
    load_root,
    root_folder,
    set_default,
)
from provenance.record import verify_signature


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "data", tmp_path / "config")


@pytest.mark.parametrize(("algorithm", "size"), [("es256", 64), ("es384", 96), ("ed25519", 64)])
def test_a_new_identity_signs_and_its_certificate_fits_c2pa(home: Home, algorithm: str, size: int) -> None:
    identity = create_identity(home, subject="Jane Doe", algorithm=algorithm)
    assert find_faults(list(identity.chain)) == []
    assert identity.claimed_name == "Jane Doe"
    assert identity.algorithm == algorithm
    signature = identity.sign(b"message")
    assert len(signature) == size
    verify_signature(identity.chain_der[0], algorithm, signature, b"message")
    identity.leaf.verify_directly_issued_by(identity.root)
    usage = identity.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.EMAIL_PROTECTION]
    assert len(identity.key_id) == 64


def test_making_it_again_changes_nothing(home: Home) -> None:
    first = create_identity(home, subject="Jane Doe")
    again = create_identity(home, subject="Jane Doe")
    assert first.key_id == again.key_id
    with pytest.raises(IdentityError, match="exists for 'Jane Doe'"):
        create_identity(home, subject="John Doe")


def test_the_first_identity_is_the_default_until_another_is_chosen(home: Home) -> None:
    with pytest.raises(NotInitializedError):
        load_identity(home)
    create_identity(home, "work", subject="Example News")
    create_identity(home, "home", subject="Jane")
    assert list_names(home) == ["home", "work"]
    assert load_identity(home).claimed_name == "Example News"
    set_default(home, "home")
    assert default_name(home) == "home"
    with pytest.raises(IdentityError, match="there are: home, work"):
        load_identity(home, "other")


def test_every_file_is_private_and_open_ones_are_refused(home: Home) -> None:
    create_identity(home, subject="Jane Doe")
    files = [path for folder in (home.identities, home.data / "roots") for path in folder.rglob("*")]
    assert len(files) > 6
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    key = identity_folder(home, "default") / "leaf.key"
    key.chmod(0o644)
    with pytest.raises(IdentityError, match="open to others") as caught:
        load_identity(home)
    assert "chmod 600" in str(caught.value.hint)


def test_the_root_key_lies_apart_and_signing_does_not_need_it(home: Home, tmp_path: Path) -> None:
    identity = create_identity(home, subject="Jane Doe")
    assert not list(identity_folder(home, "default").glob("root*"))
    root, key = load_root(home, "default", None)
    assert root == identity.root
    assert certificates.algorithm_of(key) == "es256"
    root_folder(home, "default").rename(tmp_path / "usb-stick")
    assert load_identity(home).sign(b"x")
    with pytest.raises(IdentityError, match="offline"):
        try:
            load_root(home, "default", None)
        except IdentityError as error:
            raise IdentityError(str(error.hint)) from error


def test_a_passphrase_protects_both_keys(home: Home) -> None:
    create_identity(home, subject="Jane Doe", passphrase="correct horse")
    for folder, name in ((identity_folder(home, "default"), "leaf"), (root_folder(home, "default"), "root")):
        assert b"ENCRYPTED" in (folder / f"{name}.key").read_bytes()
    assert load_identity(home, passphrase="correct horse").sign(b"x")
    with pytest.raises(IdentityError, match="protected by a passphrase"):
        load_identity(home)
    with pytest.raises(IdentityError, match="passphrase is wrong"):
        load_identity(home, passphrase="wrong horse")
    with pytest.raises(IdentityError, match="at least 8"):
        create_identity(home, "short", subject="Jane", passphrase="short")


@pytest.mark.parametrize("name", ["../up", "Upper", "", "a" * 65, "with space", ".hidden"])
def test_names_stay_inside_the_folder(home: Home, name: str) -> None:
    with pytest.raises(IdentityError):
        create_identity(home, name, subject="Jane")


@pytest.mark.parametrize("subject", ["", "   ", "x" * 65, "line\nbreak", "esc\x1b[31m"])
def test_subjects_are_checked(home: Home, subject: str) -> None:
    with pytest.raises(IdentityError):
        create_identity(home, subject=subject)
    assert list_names(home) == []


def test_an_unknown_algorithm_is_named(home: Home) -> None:
    with pytest.raises(IdentityError, match="rsa"):
        create_identity(home, subject="Jane", algorithm="rsa")


def test_damaged_files_are_named(home: Home) -> None:
    create_identity(home, subject="Jane Doe")
    about = identity_folder(home, "default") / "identity.json"
    about.write_text("{")
    with pytest.raises(IdentityError, match=r"identity\.json is damaged"):
        load_identity(home)


def test_a_key_of_another_certificate_is_refused(home: Home) -> None:
    create_identity(home, "one", subject="Jane")
    create_identity(home, "two", subject="Jane")
    key = (identity_folder(home, "two") / "leaf.key").read_bytes()
    (identity_folder(home, "one") / "leaf.key").write_bytes(key)
    with pytest.raises(IdentityError, match="do not belong together"):
        load_identity(home, "one")


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(NotWritableError):
        create_identity(Home(tmp_path / "data", tmp_path / "config"), subject="Jane")


def test_a_creation_that_was_cut_off_is_finished_with_the_same_root(home: Home) -> None:
    first = create_identity(home, subject="Jane Doe")
    shutil.rmtree(identity_folder(home, "default"))
    again = create_identity(home, subject="Jane Doe")
    assert again.root == first.root
    assert again.key_id != first.key_id
    shutil.rmtree(identity_folder(home, "default"))
    with pytest.raises(IdentityError, match="root of another identity"):
        create_identity(home, subject="John Doe")
