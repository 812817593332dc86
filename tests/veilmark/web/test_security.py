"""What strangers try; the rows of docs/explain/threats-of-the-studio.md name these tests."""

from __future__ import annotations

import html
import json
import re
import socket
import sys
from pathlib import Path

import pytest
from PIL import Image
from starlette.routing import Route

from provenance.home import Home
from provenance.manifest.spec import ManifestSpec
from provenance.session import open_session
from provenance.setup import initialize
from provenance.sign import SignRequest, sign_file
from tests.veilmark.web.conftest import Make, csrf_of, ended, enter, send, token_of
from veilmark.web.names import harmless
from veilmark.web.settings import Role

_OPENED: list[str] = []
_WATCHING = [False]


def _watch(event: str, args: tuple[object, ...]) -> None:
    if _WATCHING[0] and event == "open" and str(args[0]).endswith(".key"):
        _OPENED.append(str(args[0]))


sys.addaudithook(_watch)

MARKUP = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


def assert_escaped(page: str) -> None:
    assert "<script>alert" not in page
    assert "<img src=x" not in page


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        "/etc/passwd",
        "....//x",
        "a/../../b.jpg",
        "\x00x.jpg",
        ".",
        "..",
        "",
        "\u202egpj.exe",
    ],
)
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    safe = harmless(name)
    assert safe == Path(safe).name and safe not in ("", ".", "..")
    assert not re.search(r"[\x00-\x1f/\\\u202a-\u202e]", safe) and not safe.startswith(".")


def test_traversal_by_upload_and_by_address(make: Make, home: Home, portrait_files: dict[str, Path]) -> None:
    client = make()
    data = portrait_files["hopper"].read_bytes()
    before = {path for path in home.data.rglob("*") if "jobs" not in path.parts}
    page = client.post(
        "/verify",
        data={"csrf": csrf_of(client)},
        files=[("file", ("../../../evil.jpg", data)), ("file", ("evil.jpg", data))],
    )
    page = ended(client, page)
    assert page.status_code == 200 and "evil.jpg" in page.text and "evil-2.jpg" in page.text
    assert {path for path in home.data.rglob("*") if "jobs" not in path.parts} == before
    job = page.url.path
    for name in (
        "..%2fjob.json",
        "%2e%2e%2fjob.json",
        "job.json",
        "..%2f..%2fsession.key",
        "%2fetc%2fpasswd",
    ):
        assert client.get(f"{job}/files/{name}").status_code == 404
    for path in ("/static/..%2f..%2fsettings.py", "/static/%2e%2e/app.py", "/jobs/..%2f..%2fsession.key"):
        assert client.get(path).status_code == 404


def test_markup_in_every_field_is_shown_as_text(make: Make, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "odd-home")
    initialize(home, subject="<script>alert(1)</script><img src=x>", algorithm="es256", passphrase=None)
    picture, exif = Image.effect_noise((96, 96), 60).convert("RGB"), Image.Exif()
    exif[0x010F], exif[0x0110] = MARKUP, MARKUP
    source = tmp_path / "a<img src=x onerror=alert(1)>.jpg"
    picture.save(source, exif=exif)
    results = tmp_path / "results"
    (results / "x<script>alert(1)").mkdir(parents=True)
    table = {"title": MARKUP, "columns": [MARKUP], "rows": [[MARKUP, MARKUP]], "note": MARKUP}
    report = dict.fromkeys(("kind", "title", "headline", "made", "device"), MARKUP)
    report |= {"schema": "veilmark.measured/1", "summary": [MARKUP], "limits": [MARKUP], "tables": [table]}  # type: ignore[dict-item]
    (results / "x<script>alert(1)" / "report.json").write_text(json.dumps(report))
    client = enter(make(studio=True, home=home, results=(results,)))
    look = send(client, "/sign", [source], "/sign")
    assert_escaped(look.text)
    assert "alert(1)" in look.text  # it is there, as text
    fields = {"title": MARKUP, "author": MARKUP, "description": MARKUP, "device": "yes", "thumbnail": "yes"}
    form = {"csrf": csrf_of(client, look.url.path), **fields}
    signed = ended(client, client.post(f"/sign/{look.url.path.split('/')[-1]}", data=form))
    assert "Signed" in signed.text
    assert_escaped(signed.text)
    file = re.search(r'href="(/jobs/[^"]+/files/[^"]+\.signed\.jpg)"', signed.text)
    assert file
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(client.get(html.unescape(file[1])).content)
    verdict = send(client, "/verify", [copy])
    assert "alert(1)" in verdict.text and "Trusted" in verdict.text
    chosen = re.search(r'value="([0-9a-f]{16})"', client.get("/results").text)
    assert chosen
    pages = [
        "/ledger",
        "/ledger/0",
        "/ledger/log",
        "/trust",
        "/jobs",
        "/results",
        f"/results/compare?report={chosen[1]}",
    ]
    for path in (*pages, "/ledger?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E"):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert_escaped(answer.text)
    assert_escaped(verdict.text)
    report_page = client.get(f"{verdict.url.path}/files/report.html")
    assert report_page.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in report_page.headers["content-security-policy"]
    assert_escaped(report_page.text)


def test_csv_starts_no_formula(make: Make, tmp_path: Path) -> None:
    table = {"title": "t", "columns": ["=1+1"], "rows": [["@x", "-0.5", "+cmd|' /C calc'!A0"]]}
    report = {"schema": "veilmark.measured/1", "tables": [table]}
    (tmp_path / "report.json").write_text(json.dumps(report))
    client = enter(make(studio=True, results=(tmp_path,)))
    chosen = re.search(r'value="([0-9a-f]{16})"', client.get("/results").text)
    assert chosen
    text = client.get(f"/results/compare.csv?report={chosen[1]}").text
    assert "'=1+1" in text and "'@x" in text and "'+cmd" in text and ",-0.5," in text


def test_every_form_needs_its_token(make: Make) -> None:
    client = enter(make(studio=True))
    posts = [
        route.path
        for route in client.app.routes  # type: ignore[attr-defined]
        if isinstance(route, Route)
        and route.methods
        and "POST" in route.methods
        and not route.path.startswith(("/v1/", "/add-checkpoint"))  # there cookies count for nothing
    ]
    assert len(posts) >= 12
    for path in posts:
        path = path.replace("{job}", "x").replace("{step}", "cloak")
        for sent in ({}, {"csrf": "0" * 64}):
            answer = client.post(path, data={**sent, "name": "x"})
            assert answer.status_code in (403, 404), path  # 404: a job that is not there
    client.get("/verify")
    assert client.post("/trust/shipped", data={"csrf": csrf_of(make(studio=False))}).status_code == 403


def test_a_form_from_elsewhere_is_refused_even_with_its_token(make: Make) -> None:
    client = make()
    token = csrf_of(client)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert client.post("/logout", data={"csrf": token}, headers=headers).status_code == 403


def test_cookies_count_for_nothing_under_the_interface_for_programs(
    make: Make, portrait_files: dict[str, Path]
) -> None:
    client = enter(make(studio=True))
    data = portrait_files["hopper"].read_bytes()
    assert client.post("/v1/sign", content=data).status_code in (401, 403)


def test_another_host_name_is_not_answered(make: Make) -> None:
    client = make()
    for host in ("evil.example", "127.0.0.1:1", "127.0.0.1.evil.example:8765", ""):
        assert client.get("/", headers={"Host": host}).status_code == 421


def test_every_answer_forbids_what_it_does_not_need(make: Make) -> None:
    client = make()
    for path in ("/", "/verify", "/nothing", "/static/studio.js", "/v1/nothing", "/healthz"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
    page = client.get("/verify").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style|javascript:", page)
    assert not re.search(r"(src|href)=\"?(https?:)?//", page)


def test_tokens_are_in_no_address_and_no_answer(make: Make) -> None:
    token, entry = token_of(Role.KEEPER)
    client = make(tokens=(entry,))
    assert client.get(f"/trust?token={token}").text.count("Trust more") == 0  # an address is no place for it
    answer = client.post(
        "/login", data={"csrf": csrf_of(client, "/login"), "token": token}, follow_redirects=False
    )
    assert token not in str(answer.headers) + answer.text
    for path in ("/", "/trust", "/jobs", "/v1/openapi.json"):
        seen = client.get(path)
        assert token not in str(seen.headers) + seen.text + str(seen.url)
        assert entry.sha256 not in seen.text


def test_a_token_that_is_taken_out_of_the_configuration_ends_its_sessions(make: Make, tmp_path: Path) -> None:
    token, entry = token_of(Role.SIGNER, "desk")
    config = tmp_path / "service.toml"
    config.write_text(f'[[token]]\nname = "desk"\nrole = "signer"\nsha256 = "{entry.sha256}"\n')
    client = make(tokens=(entry,), config=config)
    client.post("/login", data={"csrf": csrf_of(client, "/login"), "token": token})
    assert client.get("/sign").status_code == 200
    bearer = {"Authorization": f"Bearer {token}"}
    config.write_text("")
    assert client.get("/sign").status_code == 401
    assert client.get("/v1/records", headers=bearer).status_code == 401


def test_a_session_that_was_ended_or_altered_is_nobody(make: Make) -> None:
    token, entry = token_of(Role.SIGNER)
    client = make(tokens=(entry,))
    client.post("/login", data={"csrf": csrf_of(client, "/login"), "token": token})
    name, cookie = next(iter(client.cookies.items()))
    assert client.get("/sign").status_code == 200
    client.cookies.clear()
    altered = cookie[:-1] + ("1" if cookie.endswith("0") else "0")
    assert client.get("/sign", headers={"Cookie": f"{name}={altered}"}).status_code == 401
    client.cookies.clear()
    csrf = csrf_of(client, "/login")
    assert csrf
    client.cookies.clear()
    client.cookies.set(name, cookie)
    client.post("/logout", data={"csrf": csrf_of(client, "/verify")})
    client.cookies.clear()
    assert client.get("/sign", headers={"Cookie": f"{name}={cookie}"}).status_code == 401


def test_guessing_tokens_is_slow(make: Make) -> None:
    client = make(limits={"logins_per_minute": 3})
    token = csrf_of(client, "/login")
    codes = [client.post("/login", data={"csrf": token, "token": f"guess {n}"}).status_code for n in range(5)]
    assert codes == [401, 401, 401, 429, 429]


def test_somebody_else_s_job_is_not_there(make: Make, portrait_files: dict[str, Path]) -> None:
    owner = make()
    job = send(owner, "/verify", [portrait_files["hopper"]]).url.path
    assert owner.get(job).status_code == 200
    owner.cookies.clear()
    token = csrf_of(owner)  # a stranger with a session of their own
    for path in ("", "/status", "/events", "/files/report.html", "/files/picture-0.jpg"):
        assert owner.get(job + path).status_code == 404
    for path in ("/cancel", "/forget"):
        assert owner.post(job + path, data={"csrf": token}).status_code == 404
    assert job.split("/")[-1] not in owner.get("/jobs").text


def test_the_public_role_never_loads_a_key(make: Make, portrait_files: dict[str, Path], home: Home) -> None:
    token, entry = token_of(Role.SIGNER)
    client = make(tokens=(entry,), discoverable=True)
    _OPENED.clear()
    _WATCHING[0] = True
    try:
        send(client, "/verify", [portrait_files["hopper"]])
        for path in ("/", "/ledger", "/ledger/log", "/trust", "/sign", "/cloak"):
            client.get(path)
        assert [one for one in _OPENED if not one.endswith("session.key")] == []
        client.post("/login", data={"csrf": csrf_of(client, "/login"), "token": token})
        look = send(client, "/sign", [portrait_files["hopper"]], "/sign")
        assert [one for one in _OPENED if not one.endswith("session.key")] == []
        ended(
            client,
            client.post(
                f"/sign/{look.url.path.split('/')[-1]}", data={"csrf": csrf_of(client, look.url.path)}
            ),
        )
        assert any(one.endswith("leaf.key") for one in _OPENED)  # what is watched for does happen
    finally:
        _WATCHING[0] = False


def test_strangers_may_not_sign_cloak_or_change_trust(make: Make, portrait_files: dict[str, Path]) -> None:
    client = make()
    for path in (
        "/sign",
        "/cloak",
        "/trust",
        "/trust/shipped",
        "/trust/remove",
        "/sign/setup",
        "/ledger/log/audit",
    ):
        answer = client.post(
            path, data={"csrf": csrf_of(client)}, files=[("file", portrait_files["hopper"].read_bytes())]
        )
        assert answer.status_code == 401, path
    token, entry = token_of(Role.SIGNER)
    signer = make(tokens=(entry,))
    signer.post("/login", data={"csrf": csrf_of(signer, "/login"), "token": token})
    assert signer.post("/trust/shipped", data={"csrf": csrf_of(signer)}).status_code == 403


def test_no_path_no_key_and_no_stack_trace_is_told(make: Make, tmp_path: Path, home: Home) -> None:
    files = {
        "broken.jpg": b"\xff\xd8\xff\xe0" + b"junk" * 50,
        "empty.png": b"",
        "strange.bin": b"what is this",
        "photo.jpg": b"\xff\xd8\xff\xe0" + b"x" * 99,
        "photo.jpg.receipt": b"c2sp.org/tlog-proof@v1\nbroken",
    }
    paths = []
    for name, data in files.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    client = enter(make(studio=True))
    pages = [send(client, "/verify", paths), send(client, "/sign", paths, "/sign")]
    pages += [client.get(path) for path in ("/ledger/log", "/ledger/99", "/jobs/x", "/nothing")]
    pages.append(client.get(f"{pages[0].url.path}/files/report.jsonl"))
    pages.append(client.get(f"{pages[0].url.path}/files/report.html"))
    for one in pages:
        for secret in (
            str(home.data),
            str(tmp_path),
            "/tmp/",
            "Traceback",
            "PRIVATE KEY",
            'File "',
            "site-packages",
        ):
            assert secret not in one.text, (one.url, secret)


def test_an_unexpected_error_says_nothing(make: Make, monkeypatch: pytest.MonkeyPatch, home: Home) -> None:
    client = make()

    class Broken:
        @property
        def settings(self) -> None:
            raise RuntimeError(f"secret {home.data}")

    monkeypatch.setattr(client.app.state, "engine", Broken())  # type: ignore[attr-defined]
    answer = client.get("/ledger")
    assert answer.status_code == 500
    assert "secret" not in answer.text and "Traceback" not in answer.text
    assert "content-security-policy" in answer.headers


def test_an_address_inside_a_file_is_not_fetched(
    make: Make, home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(0.3)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/manifest.c2pa"
        signed = tmp_path / "remote.jpg"
        with open_session(home) as session:
            sign_file(
                portrait_files["hopper"], signed, SignRequest(ManifestSpec(remote_url=address)), session
            )
        assert address.encode() in signed.read_bytes()
        client = make()
        assert send(client, "/verify", [signed]).status_code == 200
        client.post("/verify/address", data={"csrf": csrf_of(client), "address": address + "/ledger/1"})
        with pytest.raises(TimeoutError):
            listener.accept()


def test_only_an_own_address_is_followed(make: Make) -> None:
    client = make()
    for address, code in (
        (f"{client.base_url}/ledger/3", 303),
        ("http://evil.example/ledger/3", 400),
        ("//evil.example/ledger/3", 400),
        ("file:///etc/passwd", 400),
        (f"{client.base_url}/logout", 400),
    ):
        form = {"csrf": csrf_of(client), "address": str(address)}
        answer = client.post("/verify/address", data=form, follow_redirects=False)
        assert answer.status_code == code, address
    assert client.post("/verify/address", data=form, follow_redirects=False).headers.get("location") is None


def test_records_that_are_not_public_are_shown_to_nobody(
    make: Make, home: Home, portrait_files: dict[str, Path], tmp_path: Path
) -> None:
    signed = tmp_path / "signed.jpg"
    with open_session(home) as session:
        sign_file(
            portrait_files["hopper"],
            signed,
            SignRequest(ManifestSpec(thumbnail=True, title="A secret title")),
            session,
        )
    for settings in ({}, {"discoverable": True}):
        client = make(**settings)
        assert "A secret title" not in client.get("/ledger").text
        assert client.get("/ledger/0").status_code == 404
        assert client.get("/ledger/0/thumbnail").status_code == 404
        assert client.get("/ledger/0/receipt").status_code == 404
        looked_up = send(client, "/verify", [portrait_files["hopper"]])
        assert "/ledger/0" not in looked_up.text and "similar" not in looked_up.text
    owner = enter(make(studio=True))
    assert "A secret title" in owner.get("/ledger").text
    assert "/ledger/0" in send(owner, "/verify", [portrait_files["hopper"]]).text
