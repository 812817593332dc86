"""Whether a recorded file must be looked up by its looks: only where an earlier record could speak against it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from provenance.home import Home
from provenance.manifest.embed import ManifestSpec
from provenance.search import firsts as firsts_module
from provenance.search.firsts import FirstRecords
from provenance.search.lookup import open_lookup
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from provenance.trust.store import TrustStore
from provenance.verify import VerifyRequest, verify_file


def test_only_an_earlier_synthetic_record_speaks_against_a_file(
    portrait_files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(firsts_module, "_WORTH_WRITING", 1)
    home = Home.locate()
    initialize(home, subject="Desk", algorithm="es256", passphrase=None)
    kept = tmp_path / "firsts.json"
    again = tmp_path / "again.jpg"
    with Image.open(portrait_files["hopper"]) as picture:
        picture.save(again, quality=70)
    generated = ManifestSpec(digital_source_type="trainedAlgorithmicMedia")
    jobs = (
        (portrait_files["hopper"], ManifestSpec()),
        (again, ManifestSpec()),
        (portrait_files["astronaut"], generated),
    )
    outputs = [tmp_path / f"signed{number}.jpg" for number in range(3)]
    with open_session(home) as session:
        for (source, spec), output in zip(jobs, outputs, strict=True):
            sign_file(source, output, SignRequest(spec), session)
        ledger = session.ledger
        entries = list(ledger.entries())
        for _ in range(2):  # read from the ledger, then from the file
            firsts = FirstRecords(kept, ledger)
            assert [firsts.may_speak_against(one) for one in entries] == [False, False, True]
        kept.write_text('{"next": 99, "keys": {"a": -1}, "synthetic": "x", "ledger": ""}')
        assert not FirstRecords(kept, ledger).may_speak_against(entries[1])
        sign_file(portrait_files["hopper"], tmp_path / "late.jpg", SignRequest(generated), session)
        assert FirstRecords(kept, ledger).may_speak_against(
            entries[0]
        )  # the very source was published as synthetic
    trust = TrustStore.load(home)
    with open_lookup(home) as lookup:
        assert lookup is not None
        exact = verify_file(outputs[1], trust, lookup=lookup, request=VerifyRequest(likeness=False))
        every = verify_file(outputs[1], trust, lookup=lookup, request=VerifyRequest(likeness=True))
    assert [one.index for one in exact.similar] == [1]
    assert {0, 1} <= {one.index for one in every.similar}
