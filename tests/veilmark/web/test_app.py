"""The skeleton: pages, sessions, roles, jobs."""

from __future__ import annotations

from pathlib import Path

from tests.veilmark.web.conftest import Make, csrf_of, enter, send, token_of
from veilmark.web.settings import Role


def test_a_picture_without_credential_gets_a_verdict_in_the_terminal_s_words(
    make: Make, portrait_files: dict[str, Path]
) -> None:
    client = make()
    page = send(client, "/verify", [portrait_files["hopper"], portrait_files["astronaut"]])
    assert page.status_code == 200
    assert "2 verdicts" in page.text
    assert page.text.count("No credential") == 2
    assert "hopper.jpg" in page.text and "carries no credential" in page.text


def test_a_studio_answers_its_owner_alone(make: Make) -> None:
    client = make(studio=True)
    assert client.get("/").status_code == 401
    assert client.get("/verify").status_code == 401
    word = client.app.state.services.access.one_time()  # type: ignore[attr-defined]
    answer = client.get(f"/enter?once={word}", follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    assert "SameSite=Strict" in answer.headers["set-cookie"] and "HttpOnly" in answer.headers["set-cookie"]
    assert client.get("/verify").status_code == 200
    stranger = make(studio=True)
    stranger.cookies.clear()
    assert stranger.get(f"/enter?once={word}").status_code == 401


def test_roles_decide_what_is_shown_and_done(make: Make) -> None:
    token, entry = token_of(Role.SIGNER)
    client = make(tokens=(entry,))
    assert "/sign" not in client.get("/").text
    client.post("/login", data={"csrf": csrf_of(client, "/login"), "token": token})
    assert 'href="/sign"' in client.get("/").text
    client.post("/logout", data={"csrf": csrf_of(client, "/verify")})
    assert "/sign" not in client.get("/").text


def test_a_studio_says_what_it_is(make: Make) -> None:
    assert "on this machine" in enter(make(studio=True)).get("/").text
