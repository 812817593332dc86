"""``veilmark ledger anchor|deploy``: the log's checkpoint on an EVM chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.ledger.accounts import Account, account_passphrase
from provenance.commands.ledger.group import app, own_ledger
from provenance.commands.support.console import note, print_json, say
from provenance.commands.support.options import Rpc
from provenance.errors import ExitCode, UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.ledger.evm.networks import Network
    from provenance.ledger.evm.rpc import Node

NetworkName = Annotated[
    str, typer.Option("--network", help="ethereum, base, polygon, sepolia, local, or a chain id.")
]

MaxFee = Annotated[
    float | None,
    typer.Option(
        "--max-fee-gwei", min=0.0, help="Pay at most so much for a unit of gas. Default: from the config."
    ),
]
Contract = Annotated[
    str | None,
    typer.Option(
        "--contract",
        help="Address of the MediaLedger. Default: from the config, or the one deployed from here.",
    ),
]


@app.command("anchor")
def anchor(
    network: NetworkName = "local",
    contract: Contract = None,
    rpc: Rpc = None,
    account: Account = "default",
    max_fee: MaxFee = None,
    wait: Annotated[bool, typer.Option(help="Wait until the anchor is settled.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Anchor the log's checkpoint on a chain. Safe to repeat: it goes on where it stopped and never pays twice."""
    from provenance.ledger.evm import AnchorPolicy, AnchorState, MediaLedger, load_account
    from provenance.ledger.evm.receipts import anchor_log

    home = Home.locate()
    chain, node = connect(home, network, rpc)
    address = contract_of(home, chain, contract)
    payer = load_account(home, account, account_passphrase())
    with own_ledger() as ledger:
        status = anchor_log(
            home,
            ledger,
            MediaLedger.at(node, address),
            payer,
            policy=AnchorPolicy(
                confirmations=chain.confirmations, max_fee_gwei=max_fee or chain.max_fee_gwei
            ),
            wait=wait,
            progress=note,
        )
    about = {
        "schema": "veilmark.anchor-status/1",
        "state": status.state.value,
        "chain_id": status.key.chain_id,
        "contract": status.key.contract,
        "log_owner": status.key.owner,
        "size": status.key.size,
        "block": status.block_number,
        "transaction": status.transaction_hash.hex() if status.transaction_hash else None,
        "confirmations": status.confirmations,
        "needed": status.needed,
        "remark": status.remark,
    }
    if as_json:
        print_json(about)
    else:
        say(
            f"anchor {status.state.value}: size {status.key.size} on chain {status.key.chain_id}; {status.remark}"
        )
        if status.state is AnchorState.CONFIRMED:
            note("Bring receipts up to it with `veilmark ledger upgrade RECEIPT...`.")
    if status.state not in (AnchorState.CONFIRMED, AnchorState.SUPERSEDED):
        raise typer.Exit(int(ExitCode.PARTIAL))


@app.command("deploy")
def deploy(
    network: NetworkName = "local",
    rpc: Rpc = None,
    account: Account = "default",
    max_fee: MaxFee = None,
    again: Annotated[bool, typer.Option("--again", help="Deploy another one, even if there is one.")] = False,
) -> None:
    """Put a MediaLedger contract on a chain. Nobody owns it; one serves everybody.

    Prints the address as soon as it is in a block, then waits until it is settled. Interrupted, it goes on when run
    again, and pays once. The contract is remembered: other commands use it by default.
    """
    from provenance.ledger.evm import load_account
    from provenance.ledger.evm.deployment import deploy_once

    home = Home.locate()
    chain, node = connect(home, network, rpc)
    payer = load_account(home, account, account_passphrase())
    done = deploy_once(
        home,
        node,
        payer,
        confirmations=chain.confirmations,
        max_fee_gwei=max_fee or chain.max_fee_gwei,
        again=again,
        progress=note,
        on_address=say,
    )
    if done.block_number is None:
        say(done.address)
        note("It was deployed before, so nothing was paid; --again makes another one.")
    note(
        "To trust your own anchors there: veilmark trust add --contract "
        f"{chain.chain_id}:{done.address}:{payer.address}"
    )


def contract_of(home: Home, chain: Network, given: str | None) -> str:
    """The contract's address: as given, else from the settings, else as deployed; UsageError where none is known."""
    from provenance.ledger.evm.deployment import known_contract

    address = given or chain.contract or known_contract(home, chain.chain_id)
    if not address:
        raise UsageError(
            "no contract is known for this network", hint="add --contract, or run `ledger deploy`"
        )
    return address


def connect(home: Home, network: str, rpc: Sequence[str] | None) -> tuple[Network, Node]:
    """The network's settings and a node that was reached and is on it."""
    from provenance.ledger.evm import Node, find_network

    chain = find_network(home, network)
    addresses = rpc or chain.rpc
    if not addresses:
        raise UsageError(f"no node is known for {chain.name}", hint="add --rpc URL")
    return chain, Node.connect(addresses[0], chain_id=chain.chain_id)
