"""The ``trust`` group, and how an entry is shown so that it can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from provenance.commands.support.console import clean, say

if TYPE_CHECKING:
    from provenance.trust.store import TrustEntry

app = typer.Typer(
    help="What you trust: certificate anchors, trust lists, logs, witnesses, contracts. Nothing else is ever trusted.",
    no_args_is_help=True,
)


def show_added(entry: TrustEntry) -> None:
    """An entry as it was added: its name, and what to compare with what its owner says."""
    say(f"trusted: {entry.name}")
    say(f"  {entry.kind}: {clean(entry.detail, 600)}")
    if entry.kind != "list":
        show_certificates(entry)


def show_certificates(entry: TrustEntry) -> None:
    """Subject, end and full fingerprint of each certificate of an entry."""
    for one in entry.certificates:
        status = one.get("status", "trusted")
        say(f"  subject      {clean(one['subject'])}")
        if one.get("operator"):
            say(f"  operator     {clean(one['operator'])}")
        if status != "trusted":
            say(f"  status       {clean(status)} since {one['since'][:10]}: not trusted")
        say(f"  expires      {one['expires']}")
        say(f"  fingerprint  SHA-256 {one['sha256']}")
