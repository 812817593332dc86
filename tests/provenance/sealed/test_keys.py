"""Encryption keys: made once, protected as the signing key is, and shared as one line of text."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from provenance.errors import IdentityError, MissingPathError, VeilmarkError
from provenance.home import Home
from provenance.identity.admin import rotate_identity
from provenance.identity.backup import backup_identities, restore_identities
from provenance.identity.identity import create_identity, identity_folder
from provenance.sealed.keys import (
    KEY_FILE,
    PREFIX,
    PUBLIC_FILE,
    EncryptionKey,
    Keyring,
    ensure_encryption_key,
    load_encryption_key,
    open_key_file,
    read_recipients,
)
from provenance.setup import initialize

SECRET = "a few good words"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(data=tmp_path / "data", config=tmp_path / "config")


def asked() -> str:
    raise AssertionError("nobody should be asked for a passphrase")


def test_init_makes_one_and_keeps_it(home: Home) -> None:
    initialize(home, subject="Jane", algorithm="es256", passphrase=SECRET)
    folder = identity_folder(home, "default")
    assert (
        (folder / KEY_FILE).stat().st_mode & 0o777 == (folder / PUBLIC_FILE).stat().st_mode & 0o777 == 0o600
    )
    assert b"ENCRYPTED" in (folder / KEY_FILE).read_bytes()
    before = (folder / KEY_FILE).read_bytes()
    initialize(home, subject=None, algorithm="es256", passphrase=SECRET)
    assert (folder / KEY_FILE).read_bytes() == before
    key = ensure_encryption_key(home, "default", asked)
    assert EncryptionKey.of(load_encryption_key(home, "default", SECRET)) == key
    for wrong in (None, "another passphrase"):
        with pytest.raises(IdentityError, match="passphrase"):
            load_encryption_key(home, "default", wrong)


def test_it_is_another_key_than_the_one_that_signs(home: Home) -> None:
    identity = create_identity(home, subject="Jane")
    assert ensure_encryption_key(home, "default", lambda: None).key_id != identity.key_id
    with pytest.raises(IdentityError, match="another kind"):
        open_key_file(identity_folder(home, "default") / "leaf.key", None)


def test_an_older_home_gets_one_on_first_use(home: Home) -> None:
    create_identity(home, subject="Jane", passphrase=SECRET)
    folder = identity_folder(home, "default")
    for wrong in (None, "another passphrase"):
        with pytest.raises(IdentityError, match="passphrase"):
            ensure_encryption_key(home, "default", lambda wrong=wrong: wrong)
        assert not (folder / KEY_FILE).exists(), "no key under a passphrase that nobody knows"
    ensure_encryption_key(home, "default", lambda: SECRET)
    assert b"ENCRYPTED" in (folder / KEY_FILE).read_bytes()


def test_a_signing_key_without_passphrase_leaves_this_one_without(home: Home) -> None:
    create_identity(home, subject="Jane")
    key = ensure_encryption_key(home, "default", lambda: "set for something else")
    assert EncryptionKey.of(load_encryption_key(home, "default", None)) == key


def test_a_lost_public_half_is_written_anew(home: Home) -> None:
    create_identity(home, subject="Jane")
    key = ensure_encryption_key(home, "default", lambda: None)
    (identity_folder(home, "default") / PUBLIC_FILE).unlink()
    assert ensure_encryption_key(home, "default", lambda: None) == key
    (identity_folder(home, "default") / KEY_FILE).unlink()
    assert ensure_encryption_key(home, "default", lambda: None) != key, (
        "nothing is sealed for a key that is gone"
    )


def test_it_survives_rotation_backup_and_restore(home: Home, tmp_path: Path) -> None:
    create_identity(home, subject="Jane")
    key = ensure_encryption_key(home, "default", lambda: None)
    rotate_identity(home, "default")
    assert ensure_encryption_key(home, "default", asked) == key
    backup_identities(home, tmp_path / "backup", passphrase=SECRET)
    other = Home(data=tmp_path / "other", config=tmp_path / "other-config")
    restore_identities(tmp_path / "backup", other, passphrase=SECRET)
    assert EncryptionKey.of(load_encryption_key(other, "default", None)) == key


def test_a_key_that_is_open_to_others_is_refused(home: Home) -> None:
    create_identity(home, subject="Jane")
    ensure_encryption_key(home, "default", lambda: None)
    (identity_folder(home, "default") / KEY_FILE).chmod(0o644)
    with pytest.raises(IdentityError, match="open to others"):
        load_encryption_key(home, "default", None)


def test_the_public_line_reads_back_and_finds_typing_errors() -> None:
    key = EncryptionKey.of(X25519PrivateKey.generate())
    text = str(key)
    assert text.startswith(PREFIX) and len(text) == len(PREFIX) + 48
    assert EncryptionKey.parse(text) == key
    for place in range(len(PREFIX), len(text)):
        wrong = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
        with pytest.raises(IdentityError):
            EncryptionKey.parse(wrong)
    for wrong in ("", PREFIX, text[:-1], text + "A", text.replace("x25519", "x448"), PREFIX + "é" * 48):
        with pytest.raises(IdentityError) as caught:
            EncryptionKey.parse(wrong)
        assert "--encryption-key" in caught.value.hint


def test_a_file_of_keys(tmp_path: Path) -> None:
    keys = [EncryptionKey.of(X25519PrivateKey.generate()) for _ in range(3)]
    file = tmp_path / "session.keys"
    file.write_text("# the session\n\n" + "\n".join(f"  {key}" for key in keys) + "\n")
    assert read_recipients(str(file)) == keys
    assert read_recipients(str(keys[0])) == keys[:1]
    with pytest.raises(MissingPathError, match="neither"):
        read_recipients(str(tmp_path / "missing"))
    for content in (b"", b"# nobody\n", b"\xff\xfe\x00", b"# " + b"x" * 300_000, str(keys[0])[:-3].encode()):
        file.write_bytes(content)
        with pytest.raises(VeilmarkError) as caught:
            read_recipients(str(file))
        assert caught.value.hint


def test_a_keyring_knows_the_keys_of_all_identities(home: Home) -> None:
    for name in ("one", "two"):
        create_identity(home, name, subject=name, passphrase=SECRET)
    one = ensure_encryption_key(home, "one", lambda: SECRET)
    with pytest.raises(IdentityError, match="has no encryption key"):
        Keyring.of_home(home, "two", lambda _: SECRET)
    two = ensure_encryption_key(home, "two", lambda: SECRET)
    asked_for: list[str] = []

    def passphrase(name: str) -> str:
        asked_for.append(name)
        return SECRET

    keys = Keyring.of_home(home, None, passphrase)
    assert keys.ids == {one.key_id, two.key_id} and asked_for == []
    assert [EncryptionKey.of(keys.private(two.key_id)) for _ in range(2)] == [two, two]
    assert asked_for == ["two"], "asked for once, and only for the key that is used"
    assert Keyring.of_home(home, "one", passphrase).ids == {one.key_id}


def test_a_key_file_from_elsewhere(tmp_path: Path) -> None:
    private = X25519PrivateKey.generate()
    file = tmp_path / "mine.pem"
    protection = serialization.BestAvailableEncryption(SECRET.encode())
    file.write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    )
    file.chmod(0o600)
    assert Keyring.of_file(file, SECRET).ids == {EncryptionKey.of(private).key_id}
    with pytest.raises(IdentityError, match="passphrase is wrong"):
        Keyring.of_file(file, "not that one")


def test_where_the_signing_key_lies_elsewhere_the_passphrase_is_what_was_given(home: Home) -> None:
    """As with a signer program or a token: the encryption key is a file here all the same."""
    for name, given in (("guarded", SECRET), ("bare", None)):
        create_identity(home, name, subject=name)
        (identity_folder(home, name) / "leaf.key").unlink()
        ensure_encryption_key(home, name, lambda given=given: given)
        assert (b"ENCRYPTED" in (identity_folder(home, name) / KEY_FILE).read_bytes()) is (given is not None)
    create_identity(home, "short", subject="short")
    (identity_folder(home, "short") / "leaf.key").unlink()
    with pytest.raises(IdentityError, match="at least 8"):
        ensure_encryption_key(home, "short", lambda: "1234")
