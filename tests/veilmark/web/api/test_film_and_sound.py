"""``matches/byContent`` with a real film and real speech: excerpts in another size, format and quality are resolved."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import pytest

from provenance.ledger.embedded.log import LocalLedger
from provenance.manifest.spec import ManifestSpec
from provenance.record import Relation
from provenance.resolve.matches import EXTENSION, Match
from provenance.session import open_session
from provenance.sign import SignRequest, sign_file
from tests.veilmark.web.api.conftest import Service

pytestmark = pytest.mark.vectors


def excerpt_of_film(source: Path, target: Path, begin: float, end: float, side: int) -> Path:
    """A part of a film without its sound, smaller and coarser."""
    with av.open(str(source)) as film, av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "32"})
        stream.width = stream.height = side
        stream.pix_fmt, count = "yuv420p", 0
        for frame in film.decode(video=0):
            if begin <= float(frame.time) < end:
                small = frame.reformat(width=side, height=side)
                small.pts, small.time_base = count, Fraction(1, 25)
                count += 1
                out.mux(stream.encode(small))
        out.mux(stream.encode(None))
    return target


def excerpt_of_sound(source: Path, target: Path, begin: float, end: float) -> Path:
    """A part of a recording, as MP3 of 48 kbit/s."""
    with av.open(str(source)) as sound, av.open(str(target), "w") as out:
        stream = out.add_stream("mp3", rate=24_000, layout="mono")
        stream.bit_rate = 48_000
        resampler = av.AudioResampler("s16p", "mono", 24_000)
        for frame in sound.decode(audio=0):
            if begin <= float(frame.time) < end:
                for piece in resampler.resample(frame):
                    piece.pts = None
                    out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return target


def test_film_and_sound_are_resolved(service: Service, test_data: Path, tmp_path: Path) -> None:
    talking = test_data / "media" / "talking"
    with open_session(service.filled.home) as session:
        for name, public in (("speaker3.mp4", True), ("speech2.wav", True), ("speech1.wav", False)):
            spec = ManifestSpec(relation=Relation.CAPTURED, title=name)
            sign_file(talking / name, tmp_path / name, SignRequest(spec, discoverable=public), session)
    film = excerpt_of_film(talking / "speaker3.mp4", tmp_path / "part.mp4", 1.0, 5.0, 350)
    sound = excerpt_of_sound(talking / "speech2.wav", tmp_path / "part.mp3", 4.0, 14.0)
    for part, kind, index, begin in ((film, "video/mp4", 4, 1.0), (sound, "audio/mpeg", 5, 4.0)):
        answer = service.post(
            "/v1/matches/byContent", content=part.read_bytes(), headers={"Content-Type": kind}
        )
        assert answer.status_code == 200
        (said,) = answer.json()["matches"]
        assert "similarityScore" not in said or 0 < said["similarityScore"] <= 100
        match = Match.from_json(said[EXTENSION])
        assert match.receipt.index == index and match.confirmed
        with LocalLedger.open(service.filled.home.ledger) as ledger:
            match.receipt.opening.signed.verify()
            assert match.receipt.verify([ledger.log_key])
        assert said[EXTENSION]["offset_seconds"] == pytest.approx(begin, abs=0.5)
        store = service.get(f"/v1/manifests/{said['manifestId']}")
        assert store.status_code == 200 and b"jumb" in store.content[:16]
    # what is not public is found by nobody, and other speech is nothing like it
    for name in ("speech1.wav", "speech3.wav"):
        answer = service.post(
            "/v1/matches/byContent",
            content=excerpt_of_sound(talking / name, tmp_path / f"{name}.mp3", 1.0, 9.0).read_bytes(),
            headers={"Content-Type": "audio/mpeg"},
        )
        assert answer.json()["matches"] == [], name
