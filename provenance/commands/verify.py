"""``veilmark verify``: what can be known about a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.batch import Outcome, run_batch
from provenance.commands.support.console import print_json
from provenance.commands.support.options import Paths, Rpc
from provenance.commands.support.paths import Input, gathered
from provenance.errors import OutputExistsError, UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.verdict import Verdict


def verify(
    paths: Paths,
    receipt: Annotated[
        Path | None, typer.Option("--receipt", help="The receipt to check. Default: FILE.receipt.")
    ] = None,
    sidecar: Annotated[
        Path | None, typer.Option("--sidecar", help="The manifest to check. Default: embedded, or FILE.c2pa.")
    ] = None,
    fragments: Annotated[
        list[str] | None,
        typer.Option(
            "--fragments", help="Fragments of the stream (DASH, HLS) that FILE begins, such as 'seg*.m4s'."
        ),
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Allow the network: remote manifests, certificate status.")
    ] = False,
    rpc: Rpc = None,
    contract: Annotated[
        str | None, typer.Option("--contract", help="Which trusted contract to ask (address).")
    ] = None,
    chain_id: Annotated[int | None, typer.Option("--chain-id", help="On which chain.")] = None,
    block_hash: Annotated[
        str | None,
        typer.Option("--block-hash", help="A block you trust; checks an anchor without asking a node."),
    ] = None,
    confirmations: Annotated[int, typer.Option(min=1, help="Blocks that settle an anchor.")] = 1,
    require_anchor: Annotated[
        bool, typer.Option("--require-anchor", help="Without an anchor that checks out, exit with 3.")
    ] = False,
    similar: Annotated[
        bool | None,
        typer.Option(
            help="Look for similar files in your log too. Default: unless the file's own record settles it.",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files verified at the same time.")] = 1,
    brief: Annotated[bool, typer.Option("--brief", help="One line per file.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Everything that was checked.")] = False,
    page: Annotated[
        Path | None, typer.Option("--html", help="Also write the verdicts as a self-contained page.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the page of --html if it exists.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines (docs/reference/json.md).")
    ] = False,
) -> None:
    """Verify manifests, receipts and ledger records. Needs no `init`, and no network unless asked.

    Exit codes: 0 trusted; 5 valid, signer not trusted; 1 tampered; 4 no credential; 3 could not check.
    """
    from provenance.manifest.fragments import fragments_of
    from provenance.search.lookup import open_lookup
    from provenance.trust.store import TrustStore
    from provenance.verify import VerifyRequest, verify_file

    if page:
        from provenance.media.files import refuse_existing

        refuse_existing(page, True)  # whether there can be such a file
        if page.exists() and not force:
            raise OutputExistsError(
                f"{page} already exists", hint="add --force to overwrite it, or name another page"
            )
    home = Home.locate()
    trust = TrustStore.load(home)
    check_anchor = None
    if rpc or block_hash:
        from provenance.commands.ledger.anchors import anchor_checker

        check_anchor = anchor_checker(trust, rpc or [], contract, chain_id, block_hash, confirmations)
    elif contract or chain_id is not None or require_anchor:
        raise UsageError("an anchor is checked by asking a node", hint="add --rpc URL or --block-hash HASH")
    request = VerifyRequest(
        receipt=receipt,
        sidecar=sidecar,
        likeness=similar,
        online=online,
        fragments=fragments_of(fragments or []),
        check_anchor=check_anchor,
        require_anchor=require_anchor,
    )
    verdicts: list[Verdict] = []
    pictures: list[dict[str, bytes]] = []
    with gathered(paths) as inputs, open_lookup(home) as lookup:
        if fragments and len(inputs) > 1:
            raise UsageError("--fragments belong to one file", hint="give the initialization segment alone")
        own_log = lookup.ledger.origin if lookup else ""

        def work(index: int, item: Input) -> Outcome:
            verdict = verify_file(item.path, trust, lookup=lookup, request=request)
            verdict.path = item.shown
            return verdict.exit_code, verdict

        def show(item: Input, verdict: Verdict) -> None:
            if page:
                from provenance.pages.thumbnails import pictures_of

                verdicts.append(verdict)
                pictures.append(pictures_of(item.path, verdict, sidecar=sidecar))
            if as_json:
                print_json(verdict.to_json())
            else:
                from provenance.commands.support.show import show_verdict

                show_verdict(verdict, 0 if brief else 2 if verbose else 1, own_log)

        code = run_batch("Verifying", inputs, work, show, as_json=as_json, jobs=jobs)
    if page and verdicts:
        from provenance.media.files import write_bytes
        from provenance.pages.verdict import verdict_page

        write_bytes(page, verdict_page(verdicts, pictures, own_log).encode(), force=force)
    raise typer.Exit(int(code))
