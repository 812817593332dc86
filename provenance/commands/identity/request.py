"""``veilmark identity request``: a certificate request for an authority."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.identity.group import app
from provenance.commands.support.console import note
from provenance.commands.support.secrets import new_passphrase
from provenance.home import Home


@app.command("request")
def request(
    name: Annotated[str, typer.Argument(help="How the identity will be called on this machine.")],
    subject: Annotated[str, typer.Option("--subject", help="Who signs: the certificate's common name.")],
    organization: Annotated[
        str, typer.Option(help="The certificate's organization. Default: the subject.")
    ] = "",
    country: Annotated[str, typer.Option(help="Two letters, such as DE.")] = "",
    usage: Annotated[str, typer.Option(help="What for: c2pa, email or document.")] = "c2pa",
    algorithm: Annotated[str, typer.Option(help="es256, es384 or ed25519.")] = "es256",
    ask_passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase that encrypts the key at rest.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write. Default: standard output.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what exists.")] = False,
) -> None:
    """Make a key and a certificate request (CSR) for it. Only the request goes to the authority.

    Then: veilmark identity import NAME --chain CHAIN.pem
    """
    from provenance.identity.request import request_certificate
    from provenance.media.files import refuse_existing, write_bytes

    if output:
        refuse_existing(output, force)
    pem = request_certificate(
        Home.locate(),
        name,
        subject=subject,
        organization=organization,
        country=country,
        usage=usage,
        algorithm=algorithm,
        passphrase=new_passphrase(ask_passphrase),
    )
    if output:
        write_bytes(output, pem, force=force)
    else:
        typer.echo(pem.decode(), nl=False)
    note(
        f"the key waits here; when the certificate is there: veilmark identity import {name} --chain CHAIN.pem"
    )
