"""``veilmark sign``: sign files, log them, write receipts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.sign_options import OutputOptions, SigningOptions, StatementOptions
from provenance.commands.support.batch import Outcome, run_batch, run_bulk
from provenance.commands.support.console import doing, note, print_json, say, whole
from provenance.commands.support.grouped import grouped
from provenance.commands.support.options import Paths
from provenance.commands.support.paths import Input, gathered, in_place_outputs, plan_outputs
from provenance.commands.support.work import session_for
from provenance.commands.support.workers import workers_for
from provenance.errors import ExitCode, UsageError, VeilmarkError
from provenance.home import Home

if TYPE_CHECKING:
    from provenance.sign import SignResult


@grouped
def sign(
    paths: Paths,
    to: OutputOptions,
    statement: StatementOptions,
    signing: SigningOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Sign what you captured: manifest, ledger entry, receipt.

    A file that has a manifest already, inside or beside, keeps it as its parent and is signed as an edit of itself.
    One whose manifest cannot be read is refused.
    """
    from provenance.media.files import remove_stale
    from provenance.media.picture import tells_location
    from provenance.sign import SignRequest, sign_file

    home = Home.locate()
    home.require_initialized()
    with gathered(paths, skip_named=(".signed",)) as inputs:
        existing: list[Path | None] = [None] * len(inputs)
        if to.in_place:
            outputs = in_place_outputs(inputs)
        else:
            outputs = plan_outputs(inputs, to.output, "signed", force=to.force, skip_existing=to.resume)
            if to.resume:
                existing = plan_outputs(inputs, to.output, "signed", force=True)
                for folder in {path.parent for path in existing if path}:
                    remove_stale(folder)
        stream: list[Path] = []
        if signing.fragments:
            from provenance.manifest.fragments import fragments_of

            stream = fragments_of(signing.fragments)
        if stream and (len(inputs) > 1 or to.in_place or to.output is None):
            raise UsageError("--fragments belong to one film, and go into a folder", hint="add -o FOLDER")
        if signing.remote_url and len(inputs) > 1 and not signing.remote_url.endswith("/"):
            raise UsageError(
                "several files cannot have their manifests at one address",
                hint="end --remote-url in a slash; each output's name and .c2pa are put behind it",
            )
        spec = statement.spec()
        request = SignRequest(
            spec,
            tsa_url=signing.tsa,
            receipt=signing.receipt,
            any_file=signing.any_file,
            online=signing.online,
            discoverable=signing.discoverable,
        )
        with session_for(home, signing.identity) as session:
            telling: list[str] = []
            mended: dict[Input, list[Path]] = {}
            alone = len(inputs) == 1

            def step(name: str) -> None:
                if alone:
                    doing(f"Signing {inputs[0].path.name}: {name}")

            def work(index: int, item: Input) -> Outcome:
                target = outputs[index]
                if target is None:
                    if (there := existing[index]) is not None:
                        from provenance.mend import mend

                        mended[item] = mend(there, session, receipt=signing.receipt)
                    return ExitCode.OK, None
                located = tells_location(item.path)
                asked = replace(request, spec=replace(spec, remote_url=signing.address(target)))
                if stream:
                    from provenance.stream import sign_stream

                    result = sign_stream(
                        item.path, stream, target.parent, asked, session, force=to.force, step=step
                    )
                else:
                    result = sign_file(
                        item.path, target, asked, session, force=to.force or to.in_place, step=step
                    )
                if located:
                    telling.append(item.shown)
                return ExitCode.OK, result

            skipped = "named-twice" if to.in_place else "exists"

            def show(item: Input, result: SignResult | None) -> None:
                if as_json:
                    print_json(
                        result.to_json()
                        if result
                        else {"schema": "veilmark.signed/1", "source": item.shown, "skipped": skipped}
                    )
                elif result:
                    for warning in result.warnings:
                        note(f"warning: {warning}")
                    say("signed ", whole(result.output), f"  (record no. {result.index} in your log)")
                else:
                    beside = "".join(f"; wrote the missing {path.name}" for path in mended.get(item, ()))
                    why = "named twice" if to.in_place else "its output exists"
                    say("skipped ", whole(item.shown), f": {why}{beside}")

            if to.cluster is None:
                code = run_batch("Signing", inputs, work, show, as_json=as_json, jobs=to.jobs)
            elif stream or to.in_place:
                raise UsageError("a cluster signs files into new ones", hint="leave --cluster out")
            else:
                from provenance.bulk.jobs import SignJob, ToSign
                from provenance.bulk.logging import log_signed
                from provenance.commands.support.secrets import passphrase_for
                from provenance.mend import mend

                def task(index: int, item: Input) -> ToSign | None:
                    target = outputs[index]
                    if target is None:
                        if (there := existing[index]) is not None:
                            mended[item] = mend(there, session, receipt=signing.receipt)
                        return None
                    return ToSign(item.path, target, signing.address(target))

                def finish(found: Sequence[tuple[int, Any]]) -> list[Outcome | VeilmarkError]:
                    telling.extend(str(one.ready.source) for _, one in found if one.located)
                    logged = log_signed([one for _, one in found], request, session, force=to.force)
                    return [one if isinstance(one, VeilmarkError) else (ExitCode.OK, one) for one in logged]

                job = SignJob(
                    home, signing.identity, passphrase_for(home, signing.identity), request, to.force
                )
                with workers_for(to.cluster, to.jobs) as executor:
                    if executor is None:
                        raise UsageError("no cluster was named")
                    code = run_bulk("Signing", inputs, executor, job, task, finish, show, as_json=as_json)
            if telling:
                which = telling[0] if len(telling) == 1 else f"{len(telling)} files"
                note(
                    f"warning: the EXIF of {which} tells where it was taken; signing leaves EXIF as it is, "
                    "so remove it before signing if the place shall stay private"
                )
    raise typer.Exit(int(code))
