"""``veilmark record``: fingerprint and log files without touching them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.support.batch import Outcome, run_batch, run_bulk
from provenance.commands.support.console import note, print_json, say, whole
from provenance.commands.support.paths import Input, gathered, plan_outputs
from provenance.commands.support.work import session_for
from provenance.commands.support.workers import Cluster, Processes, workers_for
from provenance.errors import ExitCode, UsageError, VeilmarkError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.bulk.executor import Executor
    from provenance.session import Session
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
    jobs: Processes = 1,
    cluster: Cluster = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Fingerprint and log files without touching them; the receipt lies beside the file as FILE.receipt.

    With --jobs or --cluster a file whose bytes you recorded before keeps that record and gets its receipt again, so
    that an interrupted run is simply started once more.
    """
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

            def show(item: Input, result: SignResult | None) -> None:
                if result is None:
                    say(whole(item.shown), ": has its receipt already")
                else:
                    _show(result, as_json)

            with workers_for(cluster, min(jobs, len(inputs))) as executor:
                if executor is None:
                    code = run_batch("Recording", inputs, work, show, as_json=as_json)
                else:
                    code = _by_workers(
                        executor, inputs, receipts, session, any_file, force, discoverable, show, as_json
                    )
    raise typer.Exit(int(code))


def _by_workers(
    executor: Executor,
    inputs: Sequence[Input],
    receipts: Sequence[Path | None],
    session: Session,
    any_file: bool,
    force: bool,
    discoverable: bool,
    show: Callable[[Input, SignResult | None], None],
    as_json: bool,
) -> ExitCode:
    """Files are read by workers and logged here; one whose receipt is there already is passed over."""
    from provenance.bulk.jobs import FingerprintJob
    from provenance.bulk.logging import Recording, log_recorded

    def task(index: int, item: Input) -> Path | None:
        receipt = receipts[index]
        return None if receipt is not None and receipt.exists() and not force else item.path

    def finish(found: Sequence[tuple[int, Any]]) -> list[Outcome | VeilmarkError]:
        items = [Recording(inputs[index].path, receipts[index], result) for index, result in found]
        logged = log_recorded(items, session, force=force, discoverable=discoverable)
        return [one if isinstance(one, VeilmarkError) else (ExitCode.OK, one) for one in logged]

    job = FingerprintJob(any_file)
    return run_bulk("Recording", inputs, executor, job, task, finish, show, as_json=as_json)


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
