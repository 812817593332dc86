"""``veilmark record``: fingerprint and log files without touching them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.batch import Outcome, run_batch
from provenance.commands.support.console import note, print_json, say, whole
from provenance.commands.support.paths import Input, gathered, plan_outputs
from provenance.commands.support.work import session_for
from provenance.errors import ExitCode, UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.sign import SignResult


def record(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Files, folders, or - for standard input.")
    ] = None,
    sha256: Annotated[
        list[str] | None, typer.Option("--hash", help="Record a SHA-256 (hex) instead of a file. Repeatable.")
    ] = None,
    media_type: Annotated[
        str, typer.Option("--media-type", help="MIME type that goes with --hash.")
    ] = "application/octet-stream",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Where receipts go: a file for one input, else a folder."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite receipts that exist.")] = False,
    any_file: Annotated[bool, typer.Option("--any-file", help="Record files of unknown format too.")] = False,
    identity: Annotated[str | None, typer.Option(help="Which identity signs.")] = None,
    discoverable: Annotated[
        bool,
        typer.Option(
            "--discoverable", help="Let others find the record on a service of this ledger: makes it public."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Fingerprint and log files without touching them; the receipt lies beside the file as FILE.receipt."""
    from provenance.media.formats import RECEIPT_SUFFIX, with_suffix_added
    from provenance.sign import record_file, record_hash

    if bool(paths) == bool(sha256):
        raise UsageError("name files or --hash, one of the two", hint="veilmark record FILE")
    home = Home.locate()
    home.require_initialized()
    with session_for(home, identity) as session:
        if sha256:
            if output and len(sha256) > 1:
                raise UsageError("-o names one receipt, but several hashes were given")
            for value in sha256:
                logged = record_hash(
                    value, media_type, session, receipt_path=output, force=force, discoverable=discoverable
                )
                _show(logged, as_json)
            return
        with gathered(paths or []) as inputs:
            if output:
                receipts = plan_outputs(inputs, output, "recorded", force=force)
                if output.is_dir() or not output.suffix:
                    receipts = [
                        with_suffix_added(path, RECEIPT_SUFFIX) if path else None for path in receipts
                    ]
            else:
                receipts = [
                    None if item.from_stdin else with_suffix_added(item.path, RECEIPT_SUFFIX)
                    for item in inputs
                ]

            def work(index: int, item: Input) -> Outcome:
                return ExitCode.OK, record_file(
                    item.path,
                    session,
                    any_file=any_file,
                    receipt_path=receipts[index],
                    force=force,
                    discoverable=discoverable,
                )

            def show(item: Input, result: SignResult) -> None:
                _show(result, as_json)

            code = run_batch("Recording", inputs, work, show, as_json=as_json)
    raise typer.Exit(int(code))


def _show(result: SignResult, as_json: bool) -> None:
    if as_json:
        print_json(result.to_json())
    else:
        for warning in result.warnings:
            note(f"warning: {warning}")
        kept = result.receipt_path or f"store {result.receipt_cid}"
        say(
            "recorded ",
            whole(result.source),
            f"  (record no. {result.index} in your log; receipt ",
            whole(kept),
            ")",
        )
