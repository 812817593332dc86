"""The session that a command works at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provenance.commands.support.console import note
from provenance.commands.support.secrets import passphrase_for
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.session import Session

_TOLERATED = 5


@contextmanager
def session_for(home: Home, identity: str | None) -> Iterator[Session]:
    """Unlock the identity, open ledger and store; says so when the clock was set back or the key taken back."""
    from provenance.session import open_session

    with open_session(home, identity=identity, passphrase=passphrase_for(home, identity)) as session:
        behind = session.clock_behind()
        if behind > _TOLERATED:
            note(
                f"warning: this machine's clock is {_duration(behind)} behind the ledger's last entry; "
                "the times in what is signed now will be wrong (their order in the ledger will not)"
            )
        _warn_of_revocation(home, session)
        yield session


def _warn_of_revocation(home: Home, session: Session) -> None:
    folder = home.trust / "revocations"
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    from provenance.trust.revocation import check_revocations
    from provenance.trust.store import TrustStore

    revocations = TrustStore.load(home).revocations

    found = check_revocations(revocations, session.identity.key_id, (), chain_der=session.identity.chain_der)
    if found.revocation is not None:
        note(
            f"warning: the key that signs was revoked as of {found.revocation.revoked_at}; whoever knows of it "
            f"will not accept what is signed now. Make a fresh one: veilmark identity rotate {session.identity.name}"
        )


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
