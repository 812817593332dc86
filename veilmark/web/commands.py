"""``veilmark studio`` and ``veilmark serve``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.console import note, say
from provenance.commands.support.secrets import passphrase_for
from provenance.errors import UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from veilmark.web.settings import Settings


def studio(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens on 127.0.0.1.")] = 8765,
    browser: Annotated[bool, typer.Option(help="Open it in the browser.")] = True,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results", help="A folder with reports of `veilmark measure`, to compare. Repeatable."
        ),
    ] = None,
) -> None:
    """veilmark in the browser: verify, sign, cloak and look up, on this machine alone. Ctrl-C ends it.

    It opens through a link that works once. Whoever has no such link is told nothing.
    """
    from veilmark.web.run import run_studio
    from veilmark.web.settings import Settings

    home = Home.locate()
    places = tuple(one.absolute() for one in results or ())
    settings = Settings(home, port=port, studio=True, results=places, passphrase=passphrase_for(home, None))
    run_studio(settings, open_browser=browser, tell=say)


def serve(
    host: Annotated[str | None, typer.Option(help="Where it listens. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Default: 8765.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings (TOML): TLS, tokens, limits; see the guide.")
    ] = None,
    new_token: Annotated[
        str | None,
        typer.Option(
            "--new-token", help="Only print a fresh token for ROLE:NAME (signer:desk) and its entry."
        ),
    ] = None,
) -> None:
    """veilmark as a service for a team: pages for people, and an interface for programs under /v1.

    Without --config anybody on this machine can verify and look up, and nobody can sign.
    """
    from veilmark.web.run import run_service
    from veilmark.web.settings import Settings, load_settings

    if new_token is not None:
        _print_token(new_token)
        return
    settings: Settings = load_settings(config, Home.locate()) if config else Settings(Home.locate())
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = replace(settings, passphrase=passphrase_for(settings.home, settings.identity), **given)  # type: ignore[arg-type]
    run_service(settings, tell=say)


def _print_token(wanted: str) -> None:
    from veilmark.web.access import digest_of, new_token
    from veilmark.web.settings import Role

    role, _, name = wanted.partition(":")
    if (
        role not in (Role.SIGNER, Role.KEEPER)
        or not name.isprintable()
        or not name
        or '"' in name
        or "\\" in name
    ):
        raise UsageError(f"{wanted[:60]!r} is no ROLE:NAME", hint="such as signer:desk, or keeper:ada")
    token = new_token()
    say(token)
    note("this is shown once; put this into the configuration, which holds its SHA-256 alone:")
    note(f'[[token]]\nname = "{name}"\nrole = "{role}"\nsha256 = "{digest_of(token)}"')
