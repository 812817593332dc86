"""An owner and two other people, and a picture that the owner signed and published cloaked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from provenance.home import Home
from provenance.manifest.spec import ManifestSpec, Parent
from provenance.sealed import open_sealed
from provenance.sealed.grants import Grant
from provenance.sealed.keys import EncryptionKey, Keyring, ensure_encryption_key
from provenance.sealed.seal import sign_sealed
from provenance.sealed.shelf import GrantShelf
from provenance.sealed.unseal import Opened
from provenance.session import Session, open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, SignResult, sign_file
from provenance.trust.store import TrustStore


def sign_cloak(
    original: Path, unsigned: Path, output: Path, session: Session, readers: Sequence[EncryptionKey] | None
) -> SignResult:
    """Sign what stands for a cloak of ``original``, which is sealed for its readers."""
    request = SignRequest(ManifestSpec(relation="cloaked", parents=(Parent(original, embed=False),)))
    if readers is None:
        return sign_file(unsigned, output, request, session)
    return sign_sealed(unsigned, output, request, session, original=original, readers=readers)


@dataclass
class Person:
    """Somebody with a veilmark of their own."""

    home: Home
    key: EncryptionKey

    @property
    def shelf(self) -> GrantShelf:
        return GrantShelf.of_home(self.home)

    @property
    def keys(self) -> Keyring:
        return Keyring.of_home(self.home, None, lambda _: None)

    @property
    def trust(self) -> TrustStore:
        return TrustStore.load(self.home)


def new_person(folder: Path, name: str) -> Person:
    home = Home(data=folder, config=folder / "config")
    initialize(home, subject=name, algorithm="es256", passphrase=None)
    return Person(home, ensure_encryption_key(home, "default", lambda: None))


@pytest.fixture
def owner(tmp_path: Path) -> Person:
    return new_person(tmp_path / "owner", "Olive Owner")


@pytest.fixture
def anna(tmp_path: Path) -> Person:
    return new_person(tmp_path / "anna", "Anna")


@pytest.fixture
def ben(tmp_path: Path) -> Person:
    return new_person(tmp_path / "ben", "Ben")


@pytest.fixture
def session(owner: Person) -> Iterator[Session]:
    with open_session(owner.home) as opened:
        yield opened


@pytest.fixture
def signed(session: Session, portrait_files: dict[str, Path], tmp_path: Path) -> Path:
    """The signed original."""
    output = tmp_path / "signed.jpg"
    sign_file(portrait_files["astronaut"], output, SignRequest(ManifestSpec(author="Olive")), session)
    return output


@pytest.fixture
def publish(session: Session, tmp_path: Path) -> Callable[..., Path]:
    """Write a changed copy of a picture as its cloak, its original sealed for these readers."""

    def call(original: Path, *readers: EncryptionKey, name: str = "cloaked.jpg") -> Path:
        changed = tmp_path / f"unsigned-{name}"
        with Image.open(original) as picture:
            picture.convert("RGB").filter(ImageFilter.GaussianBlur(4)).save(changed, quality=90)
        sign_cloak(original, changed, tmp_path / name, session, readers)
        return tmp_path / name

    return call


@pytest.fixture
def cloaked(publish: Callable[..., Path], signed: Path, owner: Person) -> Path:
    """The cloaked file, its original sealed for the owner alone."""
    return publish(signed, owner.key)


def restore(person: Person, cloaked: Path, output: Path, *grants: Grant) -> Opened:
    return open_sealed(
        cloaked,
        output,
        keys=person.keys,
        source=person.shelf.store,
        shelf=person.shelf,
        trust=person.trust,
        grants=grants,
    )


def flipped(data: bytes, place: int) -> bytes:
    """One bit changed."""
    changed = bytearray(data)
    changed[place] ^= 1
    return bytes(changed)


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8).tobytes()
