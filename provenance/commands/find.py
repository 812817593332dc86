"""``veilmark find``: from a stripped or altered file back to its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.support.batch import Outcome, run_batch, run_bulk
from provenance.commands.support.console import print_json, say, whole
from provenance.commands.support.options import Paths, Rpc
from provenance.commands.support.paths import Input, gathered
from provenance.commands.support.workers import Cluster, Processes, workers_for
from provenance.errors import ExitCode, NotInitializedError, UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.pages.found import Found
    from provenance.verdict import SimilarRecord


def find(
    paths: Paths,
    page: Annotated[
        Path | None, typer.Option("--html", help="Also write what was found as a self-contained page.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite what --html or --save would write.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Hashes and figures of each match too.")
    ] = False,
    jobs: Processes = 1,
    cluster: Cluster = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    service: Annotated[
        str | None,
        typer.Option(
            "--service",
            help="Ask this service (https://HOST/v1) instead of the own ledger. It learns the fingerprint.",
        ),
    ] = None,
    private: Annotated[
        bool,
        typer.Option(
            "--private", help="Show the service neither file nor fingerprint: compare at home. Finds less."
        ),
    ] = False,
    hide_among: Annotated[
        int,
        typer.Option(
            "--hide-among", min=1, max=10_000, help="With --private: among how many of its records to hide."
        ),
    ] = 32,
    upload: Annotated[
        bool, typer.Option("--upload", help="Send the service the file itself. Finds more: excerpts, sound.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write the receipts that came into this folder.")
    ] = None,
    rpc: Rpc = None,
) -> None:
    """Find the records of a file by its hashes and its looks, even after its metadata was stripped.

    Exit codes: 0 a record was found; 4 none was found; with --service also 1 if a proof does not hold, and 5 if
    neither log nor signer is trusted. A record says who claims what and when; likeness alone proves nothing.
    """
    if service is not None:
        from provenance.commands.support.resolving import ask_service

        if page or (private and upload):
            raise UsageError(
                "--service goes with neither --html nor both of --private and --upload", hint="leave one out"
            )
        raise typer.Exit(
            ask_service(
                paths,
                service,
                private=private,
                upload=upload,
                hide_among=hide_among,
                save=save,
                as_json=as_json,
                verbose=verbose,
                force=force,
                rpc=rpc or [],
            )
        )
    if private or upload or save or rpc:
        raise UsageError(
            "--private, --upload, --save and --rpc need a service", hint="add --service https://HOST/v1"
        )
    from provenance.media.media_file import MediaFile
    from provenance.search.lookup import open_lookup, similar_records
    from provenance.search.titles import Description, describe_records
    from provenance.trust.store import TrustStore

    if page:
        from provenance.media.files import refuse_existing

        refuse_existing(page, force)
    found: list[Found] = []
    home = Home.locate()
    trust = TrustStore.load(home)
    with gathered(paths) as inputs, open_lookup(home) as lookup:
        if lookup is None:
            raise NotInitializedError(f"no ledger in {home.data}")

        def work(index: int, item: Input) -> Outcome:
            records = similar_records(MediaFile.open(item.path), lookup, trust)
            return ExitCode.OK if records else ExitCode.NOT_FOUND, records

        def show(item: Input, records: list[SimilarRecord]) -> None:
            described = describe_records(records, lookup)
            if page:
                found.append((item.shown, records, described))
            if as_json:
                listed = [
                    {**vars(record), **described.get(record.index, Description()).to_json()}
                    for record in records
                ]
                print_json({"schema": "veilmark.found/1", "path": item.shown, "records": listed})
                return
            from provenance.commands.support.show import show_similar

            count = len(records)
            what = f"{count} record{'s' if count > 1 else ''} found" if records else "no record found"
            say(whole(item.shown), f": {what}")
            titles = {index: one.title for index, one in described.items()}
            show_similar(records, verbose=verbose, titles=titles)

        with workers_for(cluster, min(jobs, len(inputs))) as executor:
            if executor is None:
                code = run_batch("Looking up", inputs, work, show, as_json=as_json)
            else:
                from provenance.bulk.jobs import FindJob

                code = run_bulk(
                    "Looking up", inputs, executor, FindJob(home), _path, _outcomes, show, as_json=as_json
                )
    if page and found:
        from provenance.media.files import write_bytes
        from provenance.pages.found import found_page

        write_bytes(page, found_page(found).encode(), force=force)
    raise typer.Exit(int(code))


def _path(index: int, item: Input) -> Path:
    return item.path


def _outcomes(found: Sequence[tuple[int, Any]]) -> list[Outcome]:
    return [(ExitCode.OK if records else ExitCode.NOT_FOUND, records) for _, records in found]
