"""``veilmark sign``: sign files, log them, write receipts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.batch import Outcome, run_batch
from provenance.commands.support.console import doing, note, print_json, say, whole
from provenance.commands.support.options import Paths
from provenance.commands.support.paths import Input, gathered, in_place_outputs, plan_outputs
from provenance.commands.support.work import session_for
from provenance.errors import ExitCode, MissingPathError, UsageError
from provenance.home import Home
from provenance.media.formats import SIDECAR_SUFFIX

if TYPE_CHECKING:
    from provenance.identity.credential import IdentityCredential
    from provenance.manifest.embed import Parent
    from provenance.sign import SignResult


def sign(
    paths: Paths,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A file for one input, else a folder. Default: NAME.signed.EXT."),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the input by the signed file.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Skip inputs whose output is there; write what is missing beside it."),
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files signed at the same time.")] = 1,
    identity: Annotated[
        str | None, typer.Option(help="Which identity signs. Default: the first made.")
    ] = None,
    title: Annotated[
        str | None, typer.Option(help="Title in the manifest. Default: the output's name.")
    ] = None,
    author: Annotated[str | None, typer.Option(help="Author, published in the manifest.")] = None,
    description: Annotated[str | None, typer.Option(help="Description, published in the manifest.")] = None,
    parent: Annotated[
        list[Path] | None, typer.Option("--parent", help="The file this one was edited from. Repeatable.")
    ] = None,
    ingredient: Annotated[
        list[str] | None,
        typer.Option(
            "--ingredient",
            help="FILE[:componentOf|inputTo|parentOf]: a file that went into it. Default: componentOf. Repeatable.",
        ),
    ] = None,
    update: Annotated[
        bool,
        typer.Option("--update", help="Say more about a signed file that stays as it is (update manifest)."),
    ] = False,
    redact: Annotated[
        list[str] | None,
        typer.Option(
            "--redact", help="Take this assertion out of the parent's manifest (c2pa.metadata). Repeatable."
        ),
    ] = None,
    redact_reason: Annotated[
        str, typer.Option("--redact-reason", help="Why, as C2PA names it.")
    ] = "c2pa.PII.present",
    remote_url: Annotated[
        str | None,
        typer.Option(
            "--remote-url",
            help="Put this address into the file, and its manifest beside it, ready to be put there. "
            "After a slash at the end comes the output's name and .c2pa.",
        ),
    ] = None,
    fragments: Annotated[
        list[str] | None,
        typer.Option(
            "--fragments",
            help="The input starts a film in fragments (DASH, HLS): these, 'seg*.m4s'. Needs -o FOLDER.",
        ),
    ] = None,
    action: Annotated[
        list[str] | None, typer.Option("--action", help="A C2PA action, such as c2pa.cropped. Repeatable.")
    ] = None,
    source_type: Annotated[
        str | None, typer.Option(help="IPTC digital source type. Default: digitalCapture.")
    ] = None,
    captured_at: Annotated[
        str | None, typer.Option(help="When it was captured (RFC 3339), by the device's clock.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Capture device, published in the manifest.")] = None,
    location: Annotated[
        str | None, typer.Option(help="LATITUDE,LONGITUDE, published in the manifest. Off unless given.")
    ] = None,
    allow_training: Annotated[
        bool,
        typer.Option("--allow-training", help="Allow AI training and data mining (default: not allowed)."),
    ] = False,
    thumbnail: Annotated[
        bool, typer.Option("--thumbnail", help="Embed a thumbnail in the manifest (slower).")
    ] = False,
    identity_cert: Annotated[
        Path | None,
        typer.Option(
            "--identity-cert", help="Name a person or organization too (CAWG): certificate chain, PEM."
        ),
    ] = None,
    identity_key: Annotated[
        Path | None, typer.Option("--identity-key", help="The private key of --identity-cert, PEM.")
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option("-m", "--manifest", help="A manifest definition as c2patool takes it (JSON)."),
    ] = None,
    tsa: Annotated[
        str | None, typer.Option("--tsa", help="RFC 3161 time-stamp authority to ask (URL).")
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Fetch a manifest from the address that a file names.")
    ] = False,
    any_file: Annotated[
        bool, typer.Option("--any-file", help="Sign files of unknown format too, with a side-car.")
    ] = False,
    receipt: Annotated[
        bool, typer.Option(help="Write FILE.receipt beside the output; it is kept in the store anyway.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Sign what you captured: manifest, ledger entry, receipt.

    A file that has a manifest already, inside or beside, keeps it as its parent and is signed as an edit of itself.
    One whose manifest cannot be read is refused.
    """
    from provenance.manifest.definition import load_definition
    from provenance.manifest.embed import Action, ManifestSpec, Parent
    from provenance.manifest.fragments import fragments_of
    from provenance.media.files import remove_stale
    from provenance.media.picture import tells_location
    from provenance.mend import mend
    from provenance.record import Relation
    from provenance.sign import SignRequest, sign_file
    from provenance.stream import sign_stream

    if in_place and output:
        raise UsageError("--in-place and -o exclude each other", hint="give one of them")
    home = Home.locate()
    home.require_initialized()
    with gathered(paths, skip_named=(".signed",)) as inputs:
        existing: list[Path | None] = [None] * len(inputs)
        if in_place:
            outputs = in_place_outputs(inputs)
        else:
            outputs = plan_outputs(inputs, output, "signed", force=force, skip_existing=resume)
            if resume:
                existing = plan_outputs(inputs, output, "signed", force=True)
                for folder in {path.parent for path in existing if path}:
                    remove_stale(folder)
        stream = fragments_of(fragments) if fragments else []
        if stream and (len(inputs) > 1 or in_place or output is None):
            raise UsageError("--fragments belong to one film, and go into a folder", hint="add -o FOLDER")
        if remote_url and len(inputs) > 1 and not remote_url.endswith("/"):
            raise UsageError(
                "several files cannot have their manifests at one address",
                hint="end --remote-url in a slash; each output's name and .c2pa are put behind it",
            )
        parents = (*_parents(parent or [], Parent), *_ingredients(ingredient or [], Parent))
        opened = any(one.relationship == "parentOf" for one in parents)
        spec = ManifestSpec(
            relation=Relation.EDITED if opened else Relation.CAPTURED,
            title=title or "",
            author=author or "",
            description=description or "",
            parents=parents,
            actions=tuple(Action(name) for name in action or ()),
            device=device or "",
            captured_at=captured_at or "",
            location=parse_location(location) if location else None,
            digital_source_type=source_type or "",
            allow_training=allow_training,
            thumbnail=thumbnail,
            credential=_credential(identity_cert, identity_key),
            redactions=tuple(redact or ()),
            redaction_reason=redact_reason,
            update=update,
            definition=load_definition(manifest) if manifest else None,
            definition_folder=manifest.parent if manifest else None,
        )
        request = SignRequest(spec, tsa_url=tsa, receipt=receipt, any_file=any_file, online=online)
        with session_for(home, identity) as session:
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
                        mended[item] = mend(there, session, receipt=receipt)
                    return ExitCode.OK, None
                located = tells_location(item.path)
                asked = replace(request, spec=replace(spec, remote_url=_address(remote_url, target)))
                if stream:
                    result = sign_stream(
                        item.path, stream, target.parent, asked, session, force=force, step=step
                    )
                else:
                    result = sign_file(item.path, target, asked, session, force=force or in_place, step=step)
                if located:
                    telling.append(item.shown)
                return ExitCode.OK, result

            skipped = "named-twice" if in_place else "exists"

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
                    why = "named twice" if in_place else "its output exists"
                    say("skipped ", whole(item.shown), f": {why}{beside}")

            code = run_batch("Signing", inputs, work, show, as_json=as_json, jobs=jobs)
            if telling:
                which = telling[0] if len(telling) == 1 else f"{len(telling)} files"
                note(
                    f"warning: the EXIF of {which} tells where it was taken; signing leaves EXIF as it is, "
                    "so remove it before signing if the place shall stay private"
                )
    raise typer.Exit(int(code))


def _address(remote_url: str | None, target: Path) -> str:
    """Where the manifest of an output will lie."""
    if not remote_url or not remote_url.endswith("/"):
        return remote_url or ""
    from urllib.parse import quote

    return f"{remote_url}{quote(target.name)}{SIDECAR_SUFFIX}"


def _credential(certificate: Path | None, key: Path | None) -> IdentityCredential | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UsageError("--identity-cert and --identity-key belong together", hint="give both")
    from provenance.commands.support.secrets import passphrase_of_file
    from provenance.identity.credential import load_credential

    return load_credential(certificate, key, passphrase_of_file(key))


def parse_location(text: str) -> tuple[float, float]:
    """Latitude and longitude in degrees from ``LATITUDE,LONGITUDE``; UsageError otherwise."""
    try:
        latitude, longitude = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{text[:60]!r} is no location", hint="give LATITUDE,LONGITUDE in degrees: 48.137,11.575"
        ) from None
    return latitude, longitude


def _parents(paths: list[Path], parent_class: type[Parent]) -> tuple[Parent, ...]:
    """The first parent is what was edited, further ones were placed into it."""
    for path in paths:
        if not path.is_file():
            raise MissingPathError(f"{path} does not exist or is no file")
    relationships = ["parentOf"] + ["componentOf"] * len(paths)
    return tuple(
        parent_class(path, relationship) for path, relationship in zip(paths, relationships, strict=False)
    )


def _ingredients(named: list[str], parent_class: type[Parent]) -> Iterator[Parent]:
    """Each ``FILE[:RELATIONSHIP]``; a file whose own name ends like that is taken for what it is."""
    from provenance.manifest.spec import RELATIONSHIPS

    for text in named:
        head, colon, relationship = text.rpartition(":")
        whole = not (colon and relationship in RELATIONSHIPS) or Path(text).is_file()
        path = Path(text if whole else head)
        if not path.is_file():
            raise MissingPathError(
                f"{path} does not exist or is no file", hint=f"FILE or FILE:{'|'.join(RELATIONSHIPS)}"
            )
        yield parent_class(path, "componentOf" if whole else relationship)
