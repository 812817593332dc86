"""``veilmark ledger cosign|consistency|check-consistency``: what witnesses and others may ask of the log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provenance import strict_json
from provenance.commands.ledger.group import Json, app, own_ledger, read_checkpoint
from provenance.commands.support.console import print_json, say
from provenance.commands.support.paths import read_bytes
from provenance.errors import ReceiptError, UsageError
from provenance.home import Home

MAX_PROOF_BYTES = 64 * 1024


@app.command("cosign")
def cosign(
    witness: Annotated[list[str], typer.Argument(help="Addresses of witnesses (C2SP tlog-witness).")],
) -> None:
    """Ask witnesses to cosign the log's checkpoint. Their keys must be in your trust store.

    Receipts made from then on carry the cosignatures; `ledger upgrade` brings them into older ones.
    """
    from provenance.ledger.note import VerifierKey
    from provenance.ledger.witness import ask
    from provenance.trust.store import TrustStore

    keys = [VerifierKey.parse(key) for key in TrustStore.load(Home.locate()).witnesses.values()]
    if not keys:
        raise UsageError("you trust no witness yet", hint="veilmark trust add --witness NAME+ID+KEY")
    with own_ledger() as ledger:
        for url in witness:
            note = ledger.note()
            signed = ledger.add_cosignatures(ask(url, note, ledger.consistency_proof), keys)
            names = sorted(key.name for key, time in signed.verify(keys).items() if time is not None)
            say(f"size {ledger.size} is cosigned by: {', '.join(names) or 'nobody you trust'}")


@app.command("consistency")
def consistency(
    old_size: Annotated[int, typer.Argument(min=1, help="An earlier size of the log.")],
    size: Annotated[int | None, typer.Argument(min=1, help="A later size. Default: now.")] = None,
    as_json: Json = False,
) -> None:
    """Prove that the log only added to what it was (RFC 9162, section 2.1.4)."""
    from dataclasses import asdict

    from provenance.ledger.service import consistency as prove

    with own_ledger() as ledger:
        found = prove(ledger, old_size, size)
    if as_json:
        print_json({"schema": "veilmark.consistency/1", **asdict(found)})
        return
    say(f"{found.old_size} -> {found.size}: proved by {len(found.proof)} hashes")
    for line in (found.old_root, found.root, *found.proof):
        say(line)


@app.command("check-consistency")
def check_consistency(
    earlier: Annotated[Path, typer.Argument(help="A checkpoint seen before, or a receipt that holds one.")],
    later: Annotated[
        str,
        typer.Argument(help="The log now: a published folder or address; with --proof, a checkpoint's file."),
    ],
    proof: Annotated[
        Path | None, typer.Option("--proof", help="What `ledger consistency --json` printed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that a log only added to what it was, as a witness does. Asks for logs that you trust."""
    from provenance.ledger.note import Checkpoint, VerifierKey
    from provenance.ledger.service import check_extends, check_published
    from provenance.trust.store import TrustStore

    keys = [VerifierKey.parse(key) for key in TrustStore.load(Home.locate()).log_keys.values()]
    old = read_checkpoint(earlier)
    if proof is None:
        now = check_published(old, later, keys)
    else:
        new = read_checkpoint(Path(later))
        check_extends(old, new, _proof_hashes(proof), keys)
        now = Checkpoint.parse(new.text)
    then = Checkpoint.parse(old.text)
    if as_json:
        sizes = {"origin": now.origin, "old_size": then.size, "size": now.size}
        print_json({"schema": "veilmark.consistent/1", **sizes, "root": now.root.hex()})
    else:
        say(f"{now.origin}: size {now.size} extends size {then.size}")


def _proof_hashes(path: Path) -> list[bytes]:
    try:
        return [
            bytes.fromhex(value) for value in strict_json.loads(read_bytes(path, MAX_PROOF_BYTES))["proof"]
        ]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReceiptError(f"{path} holds no consistency proof: {error}") from error
