"""What a service may be told, and what it refuses to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from provenance.errors import UsageError
from provenance.home import Home
from veilmark.web.settings import Role, Settings, load_settings

GUIDE = Path(__file__).parents[3] / "docs/guides/studio.md"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


def test_a_network_needs_tls_or_a_proxy(home: Home) -> None:
    with pytest.raises(UsageError, match="can be reached from a network"):
        Settings(home, host="192.0.2.1")
    Settings(home, host="192.0.2.1", proxies=("10.0.0.1",))
    Settings(home, host="::1")
    secure = Settings(
        home, host="192.0.2.1", certificate=Path("a"), key=Path("b"), origin="https://a.example"
    )
    assert secure.secure and secure.hosts == {"a.example"}


def test_the_configuration_of_the_guide_is_understood(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "service.toml"
    path.write_text(GUIDE.read_text().split("```toml\n")[1].split("```")[0])
    settings = load_settings(path, home)
    assert settings.port == 8443 and settings.certificate == tmp_path / "certificate.pem"
    assert settings.tokens[0].role is Role.SIGNER and settings.limits.files == 50
    assert settings.home.data == Path("/var/lib/veilmark")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 'x'", "no int"),
        ("port = 70000", "no port"),
        ("prot = 1", "knows no"),
        ("[limits]\nfiles = 0", "less than 1"),
        ("[limits]\nfiles = true", "no int"),
        ("[tls]\ncertificate = 'a'", "certificate and its key"),
        ("[[token]]\nname = 'a'\nrole = 'signer'", "name, role and sha256"),
        (f"[[token]]\nname = 'a'\nrole = 'king'\nsha256 = '{'0' * 64}'", "no role"),
        ("[[token]]\nname = 'a'\nrole = 'signer'\nsha256 = 'x'", "64 hex"),
        (f"[[token]]\nname = 'a'\nrole = 'signer'\nsha256 = '{'0' * 64}'\n" * 2, "same name"),
        ("origin = 'veilmark.example.org'", "no origin"),
        ("proxies = ['nowhere']", "no address of a proxy"),
        ("x = [", "no TOML"),
        ("token = 3", "no list"),
    ],
)
def test_what_is_not_understood_is_said(home: Home, tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "service.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        load_settings(path, home)


def test_roles_build_on_each_other() -> None:
    assert Role.KEEPER.covers(Role.SIGNER) and Role.SIGNER.covers(Role.PUBLIC)
    assert not Role.PUBLIC.covers(Role.SIGNER) and not Role.SIGNER.covers(Role.KEEPER)
