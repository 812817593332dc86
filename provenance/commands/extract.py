"""``veilmark extract``: take a manifest apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from provenance.commands.support.console import clean, print_json, say
from provenance.errors import CheckError, ExitCode, NoCredentialError, UsageError
from provenance.home import Home


def extract(
    path: Annotated[Path, typer.Argument(help="A file with a manifest.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A folder for the manifest store and all thumbnails."),
    ] = None,
    crjson: Annotated[
        bool, typer.Option("--crjson", help="Print the whole store as crJSON, C2PA's standard JSON form.")
    ] = False,
    sidecar: Annotated[
        Path | None, typer.Option("--sidecar", help="The manifest, where it is not inside.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Extract a file's manifest store, the thumbnails of its ingredients, or its crJSON. Judges nothing: see verify."""
    from provenance.manifest.extract import extract_parts
    from provenance.manifest.read import read_manifest
    from provenance.manifest.report import ManifestState
    from provenance.media.files import is_file, read_companion, refuse_existing, write_bytes
    from provenance.media.formats import SIDECAR_SUFFIX, with_suffix_added
    from provenance.sign import check_source
    from provenance.trust.store import TrustStore
    from provenance.verify import MAX_SIDECAR_BYTES

    if crjson == (output is not None):
        raise UsageError("give -o FOLDER or --crjson, one of the two")
    media = check_source(path)
    beside = with_suffix_added(path, SIDECAR_SUFFIX)
    found = sidecar or (beside if is_file(beside) and not media.embeddable else None)
    data = read_companion(found, MAX_SIDECAR_BYTES) if found else None
    if crjson:
        anchors = TrustStore.load(Home.locate()).anchors
        report = read_manifest(path, media.mime, anchors_pem=anchors, manifest_data=data)
        if report is None:
            raise NoCredentialError(f"{path} holds no manifest")
        if report.state is ManifestState.UNSUPPORTED:
            raise CheckError(f"{path}: {report.unsupported}")
        typer.echo(json.dumps(json.loads(report.crjson()), ensure_ascii=False))
        raise typer.Exit(int(ExitCode.TAMPERED if report.state is ManifestState.INVALID else ExitCode.OK))
    folder = Path(str(output))
    parts = extract_parts(path, media.mime, manifest_data=data)
    for part in parts:
        refuse_existing(folder / part.name, force)
    for part in parts:
        write_bytes(folder / part.name, part.data, force=force)
        if as_json:
            about = {"path": str(folder / part.name), "title": part.title, "bytes": len(part.data)}
            print_json({"schema": "veilmark.part/1", **about})
        else:
            say(f"{folder / part.name}  {clean(part.title)}")
