"""The ``identity`` group and the options that its commands share."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(help="Keys and certificates: who signs.", no_args_is_help=True)
Signer = Annotated[
    str | None,
    typer.Option(
        "--signer", help="A program that holds the key: bytes on stdin, raw signature on stdout (HSM, KMS)."
    ),
]
TokenUri = Annotated[
    str | None,
    typer.Option(
        "--pkcs11",
        help="A key in a PKCS#11 token, by its URI: pkcs11:token=T;object=KEY?module-path=/path/module.so. "
        "The PIN: VEILMARK_PKCS11_PIN, else a prompt.",
    ),
]
