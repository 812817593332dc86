"""Signing in two steps: what a file says that will be published, and then the signature."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from provenance.errors import NotInitializedError, VeilmarkError
from provenance.identity import certificates
from provenance.identity.identity import public_chain
from provenance.manifest.presence import Place, find_manifest
from provenance.manifest.spec import ManifestSpec
from provenance.media.formats import SIDECAR_SUFFIX, with_suffix_added
from provenance.media.place import read_taken, remove_location
from provenance.media.thumbnail import small_jpeg
from provenance.record import Relation
from provenance.session import Session, open_session
from provenance.sign import SignRequest, SignResult, check_source
from provenance.sign_once import sign_once
from veilmark.web.job import Job
from veilmark.web.jobs import Runner
from veilmark.web.scrubbing import scrubber
from veilmark.web.settings import Settings
from veilmark.web.work.gallery import Gallery
from veilmark.web.work.verify import subjects

ARCHIVE = "signed.zip"
_SIDE = 480


def signer_name(settings: Settings) -> str:
    """The name that what is signed here will show; empty where there is no identity. No key is loaded for that."""
    try:
        return certificates.claimed_name(public_chain(settings.home, settings.identity)[0])
    except NotInitializedError:
        return ""


def looker(settings: Settings) -> Runner:
    """The runner that looks at files before they are signed. It loads no key."""
    scrub = scrubber(settings)

    def run(job: Job) -> dict[str, Any]:
        gallery, found = Gallery.of(job), []
        for path in subjects(job.files()):
            job.tell(words=f"Looking at {path.name}")
            one: dict[str, Any] = {"name": path.name, "fault": "", "picture": ""}
            try:
                media = check_source(path)
                taken = read_taken(path) if media.kind == "image" else None
                one["format"], one["bytes"] = media.name, path.stat().st_size
                beside = with_suffix_added(path, SIDECAR_SUFFIX).is_file()
                one["signed"] = beside or find_manifest(path, media).place is not Place.NOWHERE
                one["time"], one["device"] = (taken.time, taken.device) if taken else ("", "")
                one["located"] = bool(taken and taken.located)
                one["coordinates"] = taken.coordinates if taken else None
                if media.kind == "image":
                    one["picture"] = gallery.add(small_jpeg(path, _SIDE))
            except VeilmarkError as error:
                one["fault"] = scrub(str(error))
            found.append(one)
        return {
            "files": gallery.names,
            "shown": gallery.names,
            "found": found,
            "signer": signer_name(settings),
        }

    return run


def signer(settings: Settings) -> Runner:
    """The runner of signing jobs; the only place, with the cloak, where the key is loaded."""
    scrub = scrubber(settings)

    def run(job: Job) -> dict[str, Any]:
        said, signed, failed = job.options, [], []
        gallery = Gallery.of(job)
        names: list[str] = []
        with open_session(
            settings.home, identity=settings.identity, passphrase=settings.passphrase
        ) as session:
            paths = subjects(job.files())
            for number, path in enumerate(paths):
                job.tell(number / len(paths), f"Signing {path.name}")
                try:
                    result = _sign(path, number, job, said, session)
                except VeilmarkError as error:
                    failed.append({"name": path.name, "error": scrub(str(error)), "hint": scrub(error.hint)})
                    continue
                written = [one.name for one in (result.output, result.sidecar, result.receipt_path) if one]
                names += written
                signed.append(_shown(path, result, written, gallery))
        if not signed:
            return {"files": [], "signed": [], "failed": failed, "archive": ""}
        with zipfile.ZipFile(job.outbox / ARCHIVE, "w", zipfile.ZIP_STORED) as archive:
            for name in names:
                archive.write(job.outbox / name, name)
        return {
            "files": [*names, ARCHIVE, *gallery.names],
            "shown": gallery.names,
            "signed": signed,
            "failed": failed,
            "archive": ARCHIVE if len(names) > 1 else "",
        }

    return run


def _sign(path: Path, number: int, job: Job, said: dict[str, Any], session: Session) -> SignResult:
    media = check_source(path)
    source = path
    taken = read_taken(path) if media.kind == "image" else None
    located = bool(taken and taken.located)
    if said.get("remove_location") and located and find_manifest(path, media).place is Place.NOWHERE:
        source = path.with_name(f"placeless-{path.name}")
        source.unlink(missing_ok=True)  # of a run that was cut off
        remove_location(path, source)
    spec = ManifestSpec(
        relation=Relation.CAPTURED,
        title=said.get("title") or path.name,
        author=said.get("author", ""),
        description=said.get("description", ""),
        device=taken.device if taken and said.get("device") else "",
        allow_training=bool(said.get("allow_training")),
        thumbnail=media.kind == "image" and bool(said.get("thumbnail")),
    )
    output = job.outbox / f"{path.stem}.signed{path.suffix}"
    return sign_once(source, output, SignRequest(spec), session, journal=job.working / str(number))


def _shown(path: Path, result: SignResult, written: list[str], gallery: Gallery) -> dict[str, Any]:
    try:
        picture = gallery.add(small_jpeg(result.output, _SIDE))
    except VeilmarkError:
        picture = ""
    return {
        "name": path.name,
        "output": result.output.name,
        "receipt": result.receipt_path.name if result.receipt_path else "",
        "sidecar": result.sidecar.name if result.sidecar else "",
        "written": written,
        "index": result.index,
        "size": result.log_size,
        "origin": result.log_origin,
        "time": result.record.time,
        "signer": result.record.signer.get("name", ""),
        "sha256": result.record.file_sha256,
        "warnings": result.warnings,
        "picture": picture,
    }
