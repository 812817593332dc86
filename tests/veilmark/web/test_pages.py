"""Each flow of the pages, with real files, as a browser without script sends it."""

from __future__ import annotations

import html
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from provenance.home import Home
from provenance.media.picture import tells_location
from provenance.trust.store import TrustStore
from provenance.trust.trust_file import export_trust
from tests.veilmark.web.conftest import Make, csrf_of, ended, enter, send
from veilmark.web.work.comparison import comparison


def place(path: Path) -> Path:
    """The same picture with a camera and a place in its EXIF."""
    exif = Image.Exif()
    exif[0x010F] = "Nikon"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0)})
    with Image.open(path) as image:
        image.save(path, exif=exif, quality=95)
    return path


def fetch(client: object, page: str, ending: str) -> bytes:
    """What a page offers to download."""
    link = re.search(rf'href="(/[^"]+{re.escape(ending)})"', page)
    assert link, ending
    return client.get(html.unescape(link[1])).content  # type: ignore[attr-defined, no-any-return]


def test_sign_shows_first_what_is_published_and_takes_the_place_out(
    make: Make, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    client = enter(make(studio=True))
    look = send(client, "/sign", [place(portrait_files["hopper"]), portrait_files["astronaut"]], "/sign")
    assert "Ada Lovelace" in look.text and "48.13722" in look.text and "says where it was taken" in look.text
    form = {
        "csrf": csrf_of(client, look.url.path),
        "remove_location": "yes",
        "thumbnail": "yes",
        "author": "Ada",
    }
    done = ended(client, client.post(f"/sign/{look.url.path.split('/')[-1]}", data=form))
    assert done.text.count(">Signed</span>") == 2
    with zipfile.ZipFile(io.BytesIO(fetch(client, done.text, "signed.zip"))) as archive:
        names = sorted(archive.namelist())
        assert names == [f"{n}.signed.jpg{s}" for n in ("astronaut", "hopper") for s in ("", ".receipt")]
        archive.extractall(tmp_path / "out")
    assert not tells_location(tmp_path / "out" / "hopper.signed.jpg")
    verdict = send(client, "/verify", [tmp_path / "out" / name for name in names])
    assert verdict.text.count("Trusted") == 2 and "2 verdicts" in verdict.text
    again = client.post(f"/sign/{look.url.path.split('/')[-1]}", data=form)
    assert again.status_code == 409  # it was answered


def test_verify_tells_apart_and_compares(make: Make, portrait_files: dict[str, Path], tmp_path: Path) -> None:
    client = enter(make(studio=True))
    look = send(client, "/sign", [portrait_files["hopper"]], "/sign")
    form = {"csrf": csrf_of(client, look.url.path), "thumbnail": "yes"}
    done = ended(client, client.post(f"/sign/{look.url.path.split('/')[-1]}", data=form))
    signed, tampered, copy = tmp_path / "signed.jpg", tmp_path / "tampered.jpg", tmp_path / "copy.jpg"
    signed.write_bytes(fetch(client, done.text, ".signed.jpg"))
    broken = bytearray(signed.read_bytes())
    broken[-3000] ^= 0x55
    tampered.write_bytes(broken)
    with Image.open(portrait_files["hopper"]) as image:
        image.crop((50, 30, 440, 480)).save(copy, quality=80)
    page = send(client, "/verify", [signed, tampered, copy]).text
    tones = re.findall(r'<article class="(\w+)"><h2><span>([^<]+)</span> ([^<]+)</h2>', page)
    assert tones == [
        ("good", "Trusted", "signed.jpg"),
        ("bad", "Tampered", "tampered.jpg"),
        ("like", "Found by likeness", "copy.jpg"),
    ]
    assert "data-compare" in page and "<polygon" in page
    assert b"c2sp.org/tlog-proof@v1" in fetch(client, page, "1-signed.jpg.receipt")
    assert fetch(client, page, "report.jsonl").count(b"\n") == 3
    receipt = fetch(client, done.text, ".receipt")
    assert receipt.startswith(b"c2sp.org/tlog-proof@v1")


@pytest.mark.parametrize(("turn", "cut"), [(0, True), (90, True), (180, True), (0, False)])
def test_what_is_found_lies_where_it_belongs(
    turn: int, cut: bool, make: Make, home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    import numpy as np

    from provenance.manifest.spec import ManifestSpec
    from provenance.search.lookup import open_lookup
    from provenance.session import open_session
    from provenance.sign import SignRequest, sign_file
    from provenance.verify import verify_file

    original = portrait_files[
        "astronaut" if cut else "hopper"
    ]  # of the whole the outline is cut off at an edge
    with open_session(home) as session:
        request = SignRequest(ManifestSpec(thumbnail=True))
        sign_file(original, tmp_path / "s.jpg", request, session)
    copy = tmp_path / "copy.jpg"
    with Image.open(original) as image:
        part = image.crop((40, 30, 420, 400)) if cut else image.resize((300, 350))
        part.rotate(turn, expand=True).save(copy, quality=90)
    pictures: dict[str, bytes] = {}

    class Kept:
        def add(self, data: bytes) -> str:
            pictures[str(len(pictures))] = data
            return str(len(pictures) - 1)

    with open_lookup(home) as lookup:
        assert lookup is not None
        verdict = verify_file(copy, TrustStore.load(home), lookup=lookup)
        shown = comparison(copy, verdict, lookup.ledger, home, Kept())  # type: ignore[arg-type]
    assert shown is not None and shown["over"], verdict.similar
    recorded, over = (
        np.asarray(Image.open(io.BytesIO(pictures[shown[name]]))).astype(int) for name in ("recorded", "over")
    )
    height, width = recorded.shape[:2]
    middle = (slice(height // 4, height // 2), slice(width // 4, width // 2))
    assert np.abs(recorded[middle] - over[middle]).mean() < 12


def test_a_record_is_shown_with_its_proof(make: Make, portrait_files: dict[str, Path]) -> None:
    client = enter(make(studio=True))
    for name in ("hopper", "astronaut", "hopper"):
        look = send(client, "/sign", [portrait_files[name]], "/sign")
        form = {"csrf": csrf_of(client, look.url.path), "thumbnail": "yes"}
        ended(client, client.post(f"/sign/{look.url.path.split('/')[-1]}", data=form))
    listing = client.get("/ledger").text
    assert listing.count("/thumbnail") == 3
    record = client.get("/ledger/2").text
    assert "entry 2 of the 3 that the checkpoint signs" in record and "root of all 3" in record
    assert record.count("class=sibling") == 1
    assert client.get("/ledger/0").text.count("class=sibling") == 2
    assert client.get("/ledger/2/thumbnail").headers["content-type"] == "image/jpeg"
    digest = re.search(r"Signed file</th><td class=mono>([0-9a-f]{64})", record)
    assert digest
    assert client.get(f"/ledger?q={digest[1]}").text.count("/thumbnail") == 1
    assert client.get("/ledger?q=lovelace").text.count("/thumbnail") == 3
    assert "No record fits" in client.get("/ledger?q=somebody").text
    assert "No record fits" in client.get("/ledger?until=2000-01-01").text
    assert client.get("/ledger?q=1").url.path == "/ledger/1"
    audit = ended(client, client.post("/ledger/log/audit", data={"csrf": csrf_of(client, "/ledger/log")}))
    assert "All of it fits" in audit.text


def test_a_trust_file_is_shown_before_it_counts(make: Make, home: Home, tmp_path: Path) -> None:
    file = tmp_path / "trust.json"
    file.write_text(export_trust(TrustStore.load(home)))
    other = Home.at(tmp_path / "other")
    client = enter(make(studio=True, home=other))
    assert "Nothing is trusted here yet" in client.get("/trust").text
    look = send(client, "/trust", [file], "/trust")
    assert "SHA-256" in look.text and "Ada" in look.text
    assert TrustStore.load(other).entries() == []
    form = {"csrf": csrf_of(client, look.url.path)}
    added = ended(client, client.post(f"/trust/{look.url.path.split('/')[-1]}/add", data=form))
    assert "Trusted from now on" in added.text
    names = {(one.kind, one.name) for one in TrustStore.load(other).entries()}
    assert {kind for kind, _ in names} == {"anchor", "log"}
    kind, name = sorted(names)[0]
    client.post("/trust/remove", data={"csrf": csrf_of(client, "/trust"), "name": name, "kind": kind})
    assert {one.kind for one in TrustStore.load(other).entries()} == {"log"}
    client.post("/trust/shipped", data={"csrf": csrf_of(client, "/trust")})
    assert any(one.kind == "list" for one in TrustStore.load(other).entries())


def test_an_identity_is_made_in_the_browser(make: Make, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "fresh")
    client = enter(make(studio=True, home=home))
    assert "Make your identity" in client.get("/sign").text
    page = ended(
        client, client.post("/sign/setup", data={"csrf": csrf_of(client, "/sign"), "name": "Grace Hopper"})
    )
    assert "Grace Hopper" in page.text and home.is_initialized()


def test_every_page_answers_on_an_empty_home(make: Make, tmp_path: Path) -> None:
    client = enter(make(studio=True, home=Home.at(tmp_path / "empty")))
    for path in ("/", "/verify", "/sign", "/cloak", "/ledger", "/results", "/trust", "/jobs"):
        assert client.get(path).status_code == 200, path
    assert client.get("/ledger/0").status_code in (404, 409)
    assert client.get("/ledger/log").url.path == "/ledger"


def test_a_long_job_can_be_cancelled(make: Make, portrait_files: dict[str, Path]) -> None:
    client = enter(make(studio=True))
    parts = [("file", ("a.jpg", portrait_files["hopper"].read_bytes()))]
    job = client.post("/cloak", data={"csrf": csrf_of(client, "/cloak")}, files=parts).url.path
    about = client.get(f"{job}/status").json()
    assert about["state"] in ("queued", "running"), about
    client.post(f"{job}/cancel", data={"csrf": csrf_of(client, "/cloak")})
    page = ended(client, client.get(job), 15)
    assert "Cancelled. What you uploaded was removed." in page.text


@pytest.fixture
def large(portraits: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """A portrait of 512 x 700 pixels."""
    path = tmp_path / "large.jpg"
    Image.fromarray(portraits["hopper"]).resize((512, 700)).save(path, quality=90)
    return path


def test_a_picture_is_made_smaller_before_its_faces_are_numbered(make: Make, large: Path) -> None:
    client = enter(make(studio=True))
    assert send(client, "/cloak", [large], "/cloak", longest="641").status_code == 400
    page = send(client, "/cloak", [large], "/cloak", longest="640")
    assert 'viewBox="0 0 468 640"' in page.text, page.text


@pytest.mark.slow
def test_what_is_cloaked_is_the_smaller_picture(make: Make, large: Path, tmp_path: Path) -> None:
    client, small = enter(make(studio=True)), tmp_path / "small.jpg"
    job = send(client, "/cloak", [large], "/cloak", longest="640").url.path
    form = {"csrf": csrf_of(client, job), "chooses": "yes", "face": "0", "search": "quick"}
    page = ended(client, client.post(f"/cloak/{job.split('/')[-1]}/cloak", data=form), 300).text
    assert "made smaller first, from 512 x 700 to 468 x 640 pixels" in page
    small.write_bytes(fetch(client, page, ".cloaked.jpg"))
    with Image.open(small) as cloaked:
        assert cloaked.size == (468, 640)


@pytest.mark.slow
def test_a_picture_is_cloaked_from_drop_to_download(
    make: Make, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    client = enter(make(studio=True))
    answer = send(client, "/cloak", [portrait_files["hopper"]], "/cloak")
    job, page = answer.url.path, answer.text
    assert "1 face found" in page and 'data-face="face-0"' in page
    form = {
        "csrf": csrf_of(client, job),
        "chooses": "yes",
        "face": "0",
        "strength": "low",
        "veil": "noise",
        "sign": "yes",
    }
    page = ended(client, client.post(f"/cloak/{job.split('/')[-1]}/preview", data=form), 600).text
    assert "quickly cloaked" in page and "to hide" in page
    form["csrf"] = csrf_of(client, job)
    page = ended(client, client.post(f"/cloak/{job.split('/')[-1]}/cloak", data=form), 900).text
    assert "Who still finds what" in page and "data-compare" in page
    cloaked = tmp_path / "cloaked.jpg"
    cloaked.write_bytes(fetch(client, page, ".cloaked.jpg"))
    assert "cloaked" in send(client, "/verify", [cloaked]).text
