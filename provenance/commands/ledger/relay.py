"""``veilmark ledger relay``: single records on a chain, signed by one account (EIP-712) and paid for by another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance import strict_json
from provenance.commands.ledger.accounts import Account, account_passphrase
from provenance.commands.ledger.chain import Contract, NetworkName, connect, contract_of
from provenance.commands.ledger.group import Force, Json, app
from provenance.commands.support.console import clean, note, print_json, say
from provenance.commands.support.options import Rpc
from provenance.commands.support.paths import read_bytes
from provenance.errors import ReceiptError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.evm.records import Signed

relay_app = typer.Typer(
    help="Single records on a chain: signed by a camera without ether, sent by whoever pays.",
    no_args_is_help=True,
)
app.add_typer(relay_app, name="relay")
MAX_STATEMENT_BYTES = 64 * 1024


@relay_app.command("sign")
def sign(
    cid: Annotated[str, typer.Argument(help="What the record is about: a content id or another identifier.")],
    text: Annotated[str, typer.Argument(help="The record, or the reason of a withdrawal. It stays public.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to hand to whoever sends it.")],
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Withdraw what this account recorded about it.")
    ] = False,
    network: NetworkName = "local",
    contract: Contract = None,
    account: Account = "default",
    hours: Annotated[
        float, typer.Option("--valid-hours", min=0.01, max=8760, help="How long it may be sent.")
    ] = 24.0,
    force: Force = False,
) -> None:
    """Sign a record offline. It counts for one contract on one chain, once. Needs no node and no ether."""
    from provenance.ledger.evm import find_network, load_account
    from provenance.ledger.evm.records import sign_for_relay
    from provenance.media.files import refuse_existing, write_bytes

    home = Home.locate()
    chain = find_network(home, network)
    refuse_existing(output, force)
    signed = sign_for_relay(
        load_account(home, account, account_passphrase()),
        "Withdraw" if withdraw else "Commit",
        chain_id=chain.chain_id,
        contract=contract_of(home, chain, contract),
        cid=cid,
        text=text,
        valid_seconds=round(hours * 3600),
    )
    write_bytes(output, json.dumps(signed.to_json(), indent=2).encode(), force=force)
    say(f"signed by {signed.recorder} for chain {signed.chain_id}: {output}")
    note("Whoever has ether sends it with `veilmark ledger relay send`.")


@relay_app.command("send")
def send(
    statement: Annotated[Path, typer.Argument(help="What `relay sign` wrote.")],
    network: NetworkName = "local",
    rpc: Rpc = None,
    account: Account = "default",
    as_json: Json = False,
) -> None:
    """Send a signed record at this account's cost; it is recorded under the signer's address."""
    from provenance.ledger.evm import MediaLedger, load_account
    from provenance.ledger.evm.records import relay

    home = Home.locate()
    signed = _read(statement)
    signed.verify()
    chain, node = connect(home, network, rpc)
    payer = load_account(home, account, account_passphrase())
    ledger = MediaLedger.at(node, signed.contract)
    mined = relay(
        ledger,
        payer,
        signed,
        confirmations=chain.confirmations,
        max_fee_gwei=chain.max_fee_gwei,
        progress=note,
    )
    if as_json:
        print_json(
            {
                "schema": "veilmark.relayed/1",
                "kind": signed.kind.lower(),
                "chain_id": signed.chain_id,
                "contract": signed.contract,
                "recorder": signed.recorder,
                "cid": signed.cid,
                "block": mined.block_number,
                "transaction": mined.transaction_hash.hex(),
                "gas_used": mined.gas_used,
            }
        )
    else:
        say(f"{signed.kind.lower()} by {signed.recorder} is in block {mined.block_number}")


@relay_app.command("list")
def list_(
    cid: Annotated[str, typer.Argument(help="The identifier.")],
    network: NetworkName = "local",
    contract: Contract = None,
    rpc: Rpc = None,
    recorder: Annotated[
        str | None, typer.Option("--recorder", help="Only what this address recorded.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the records about an identifier, oldest first, as the node says, with their withdrawals."""
    from provenance.ledger.evm import MediaLedger
    from provenance.ledger.evm.rpc import checked_address

    home = Home.locate()
    chain, node = connect(home, network, rpc)
    ledger = MediaLedger.at(node, contract_of(home, chain, contract))
    for found in ledger.commits(cid, checked_address(recorder) if recorder else None):
        gone = ledger.withdrawal(found.recorder, cid)
        if as_json:
            print_json(
                {
                    "schema": "veilmark.chain-record/1",
                    "cid": cid,
                    "recorder": found.recorder,
                    "text": found.data,
                    "block": found.block_number,
                    "transaction": found.transaction_hash.hex(),
                    "withdrawn_in_block": gone[0] if gone else None,
                }
            )
        else:
            withdrawn = f"  withdrawn in block {gone[0]}" if gone else ""
            say(f"{found.block_number:>9}  {found.recorder}  {clean(found.data)}{withdrawn}")


def _read(path: Path) -> Signed:
    from provenance.ledger.evm.records import Signed

    try:
        data = strict_json.loads(read_bytes(path, MAX_STATEMENT_BYTES))
    except (ValueError, RecursionError) as error:
        raise ReceiptError(f"{path} is no signed record", hint="name what `relay sign` wrote") from error
    return Signed.from_json(data)
