"""A ledger with records of which some may be found by others."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from provenance.home import Home
from provenance.manifest.spec import ManifestSpec
from provenance.record import Relation
from provenance.session import Session
from provenance.setup import initialize
from provenance.sign import SignRequest, SignResult, record_file, sign_file

#: The two that others may find, in the order in which they are logged among others.
PUBLIC_ENTRIES = (1, 3)


@dataclass
class Filled:
    """``hopper`` is signed twice, and recorded; ``astronaut`` is signed. Entries 1 and 3 are public."""

    home: Home
    results: list[SignResult]
    stripped: dict[str, Path]

    @property
    def secrets(self) -> set[str]:
        """What names a record that is not public, and nothing else: its file, its manifest."""
        hidden = [self.results[index] for index in (0, 2)]
        names = {one.record.file_sha256 for one in hidden} | {one.receipt_cid for one in hidden}
        return names | {str(one.record.manifest_sha256) for one in hidden if one.record.manifest_sha256}


def fill(folder: Path, portraits: dict[str, np.ndarray]) -> Filled:
    """0: astronaut, signed; 1: hopper, signed, public; 2: hopper, signed; 3: hopper, recorded, public."""
    from provenance.session import open_session

    home = Home.at(folder / "service-home")
    initialize(home, subject="Newsroom", algorithm="es256", passphrase=None)
    files, stripped = {}, {}
    for name, pixels in portraits.items():
        files[name] = folder / f"{name}.png"
        Image.fromarray(pixels).save(files[name])
        stripped[name] = folder / f"{name}-copy.jpg"
        with Image.open(files[name]) as picture:
            picture.resize((picture.width * 3 // 4, picture.height * 3 // 4)).save(stripped[name], quality=70)
    with open_session(home) as session:
        results = [
            _sign(files["astronaut"], folder / "a.png", session, "Secret astronaut", False),
            _sign(files["hopper"], folder / "h1.png", session, "Public hopper", True),
            _sign(files["hopper"], folder / "h2.png", session, "Secret hopper", False),
            record_file(files["hopper"], session, discoverable=True),
        ]
    assert [one.index for one in results] == [0, 1, 2, 3]
    return Filled(home, results, stripped)


def copied(filled: Filled, folder: Path) -> Filled:
    """The same in a home of its own."""
    shutil.copytree(filled.home.data, folder / "copied-home")
    return replace(filled, home=Home.at(folder / "copied-home"))


def _sign(source: Path, target: Path, session: Session, title: str, public: bool) -> SignResult:
    spec = ManifestSpec(relation=Relation.CAPTURED, title=title)
    return sign_file(source, target, SignRequest(spec, discoverable=public), session)
