"""The C2PA manifest: what it says, and signing it into (or beside) a file, through c2pa-python.

What is written follows C2PA 2.4: claim v2, actions v2 with ``allActionsIncluded``, ingredients v3,
``specVersion`` in the claim generator info, a soft binding that carries the perceptual fingerprint, and CAWG
assertions for the training policy, author and description. Every assertion that this module writes is marked
as *created* (asserted by the signer), not gathered.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from provenance.errors import (
    CheckError,
    CorruptMediaError,
    IdentityError,
    NotWritableError,
    UsageError,
    VeilmarkError,
)
from provenance.identity import certificates
from provenance.identity.certificate_faults import find_faults
from provenance.identity.identity import Identity
from provenance.interrupt import uninterrupted
from provenance.manifest.actions import Action
from provenance.manifest.build import build_definition
from provenance.manifest.definition import definition_files
from provenance.manifest.fragment_signer import sign_initialization, signed_box
from provenance.manifest.identity_signer import REFERENCED, with_identity
from provenance.manifest.presence import Place, find_manifest, refuse_unread
from provenance.manifest.read import MEMORY_MB, side_car_results
from provenance.manifest.redaction import add_redactions
from provenance.manifest.riff import RIFF_FORMATS, layout_of, sign_riff
from provenance.manifest.spec import ManifestSpec, Parent, check_spec, says_synthetic
from provenance.media.files import sha256_file
from provenance.media.formats import Format, detect_format
from provenance.media.pdf import has_pdf_signature
from provenance.media.thumbnail import small_jpeg
from provenance.record import Relation
from provenance.trust.anchors import Anchors

__all__ = ["Action", "ManifestSpec", "Parent", "carries_manifest", "sign_manifest"]

#: Longer side of a thumbnail.
THUMBNAIL_SIDE = 512
#: How XMP names the address of a manifest, and a name of the same length that says nothing.
_ADDRESS, _NO_ADDRESS = b"dcterms:provenance", b"dcterms:x_provenan"
_MAX_REWRITTEN = 512 * 1024**2
_SIDECAR_FORMAT = "application/c2pa"
#: Formats into which c2pa writes a new manifest without taking out the bytes of the old one.
_KEEPS_OLD_BYTES = frozenset({"TIFF", "DNG"})
#: Formats whose bytes outside of the manifest stay the same when it grows, as c2pa writes them. In the others a field
#: with the file's length is among what the first manifest binds, and an update would break it.
UPDATABLE = frozenset({"JPEG", "PNG", "GIF", "AVIF", "HEIC", "MP4", "MOV", "M4A"})


@uninterrupted()
def sign_manifest(
    source: Path,
    output: Path,
    spec: ManifestSpec,
    identity: Identity,
    *,
    media: Format | None = None,
    mime: str | None = None,
    carries: bool | None = None,
    tsa_url: str | None = None,
) -> bytes:
    """Sign ``source`` into ``output``.

    Where the format cannot hold a manifest, ``output`` becomes a plain copy of ``source``, and the returned
    bytes are the side-car that belongs beside it. With a remote address, ``output`` holds the address alone, and the
    returned bytes belong there.

    A source that already carries a manifest becomes its own parent (unless the spec names one), because a
    manifest must not be dropped silently.

    Args:
        output: written by this call; give a temporary path and rename it afterwards.
        media: the format of ``source``; detected where None. ``mime`` alone overrides its media type.
        carries: whether ``source`` carries a manifest, where that is known already.
        tsa_url: RFC 3161 time-stamp authority to ask, or None for no network at all.

    Returns:
        The manifest store's bytes.

    Raises:
        UsageError: the spec contradicts itself or names an impossible action.
        CorruptMediaError: the container cannot be parsed.
        CheckError: the time-stamp authority gave no stamp; or the source has a manifest that was not read, and no
            ``parentOf`` is named.
        IdentityError: signing failed in the identity, or its certificate is unfit.
        NotWritableError: ``output`` cannot be written.
    """
    import c2pa

    media = media or detect_format(source)
    media = replace(media, mime=mime or media.mime)
    embeds, media_type = media.embeddable, media.mime
    if carries is None:
        found = find_manifest(source, media)
        if not _opened(spec):
            refuse_unread(source, found)
        carries = found.place is Place.INSIDE
    if spec.update and media.name not in UPDATABLE:
        raise UsageError(
            f"{media.name} cannot hold an update manifest: the first manifest binds the file's length too",
            hint="leave out --update: the file is signed as an edit of itself",
        )
    if spec.update and not (embeds and all(_same_content(source, parent.path) for parent in spec.parents)):
        raise UsageError("an update is about a file that stays as it is, with its manifest inside")
    spec = _with_own_parent(source, with_named_files(spec), carries)
    check_spec(spec)
    if media.name == "PDF" and has_pdf_signature(source):
        raise UsageError(
            f"{source} carries a signature of its own (PDF), which a manifest inside would break",
            hint="put it into the ledger without touching it: veilmark record",
        )
    if spec.thumbnail and spec.thumbnail_data is None and media.kind == "image":
        spec = replace(spec, thumbnail_data=small_jpeg(source, THUMBNAIL_SIDE))
    definition, inputs = build_definition(spec)
    opened = next((parent for parent in spec.parents if parent.relationship == "parentOf"), None)
    if opened and spec.redactions and media.name in _KEEPS_OLD_BYTES:
        raise UsageError(
            f"nothing can be redacted in {media.name}: the bytes of the earlier manifest stay in the file",
            hint="convert it to another format, and name this file with --parent",
        )
    if opened and spec.redactions:
        add_redactions(definition, spec.redactions, opened, reason=spec.redaction_reason)
    if spec.remote_url and not embeds:
        raise UsageError(f"{media.name} cannot hold the address of a manifest", hint="leave out --remote-url")
    _check_means(identity, tsa_url)
    job = _Job(identity)
    try:
        compose = _Composer(spec, definition, inputs, identity, job, tsa_url)
        if spec.fragments:
            return sign_initialization(source, output, spec.fragments, partial(compose, media_type))
        streamed = media.name in RIFF_FORMATS and not (spec.remote_url or spec.update)
        layout = layout_of(source) if streamed else None
        if layout is not None:
            return sign_riff(source, output, layout, partial(compose, _SIDECAR_FORMAT))
        with c2pa.Context.from_dict(_settings(identity)) as context:
            builder = compose.builder(context)
            if spec.update:
                builder.set_intent(c2pa.C2paBuilderIntent.UPDATE)
            if spec.remote_url:
                builder.set_remote_url(spec.remote_url)
            if spec.remote_url or not embeds:
                builder.set_no_embed()
            with source.open("rb") as reading, _Output(output, job) as writing:
                manifest = builder.sign(compose.signer(), media_type, reading, writing)
    except OSError as error:
        raise NotWritableError(f"cannot write {output}: {error.strerror or error}") from error
    except c2pa.C2paError as error:
        raise _explained(error, job, source, output, tsa_url) from error
    if not manifest:
        raise CorruptMediaError(f"signing {source} produced no manifest")
    return bytes(manifest)


@dataclass(frozen=True)
class _Composer:
    """What is to be signed, as c2pa takes it."""

    spec: ManifestSpec
    definition: dict[str, Any]
    inputs: list[tuple[dict[str, Any], Parent]]
    identity: Identity
    job: _Job
    tsa_url: str | None

    def builder(self, context: Any, binding: dict[str, Any] | None = None) -> Any:
        """A builder; ``binding`` is the assertion that binds the content, or None where c2pa makes it."""
        import c2pa

        bound = [*self.definition["assertions"], *([binding] if binding else [])]
        builder = c2pa.Builder({**self.definition, "assertions": bound}, context=context)
        for ingredient, parent in self.inputs:
            _add_ingredient(builder, ingredient, parent, certificates.to_pem([self.identity.root]))
        if self.spec.thumbnail_data:
            builder.add_resource("thumbnail", io.BytesIO(self.spec.thumbnail_data))
        return builder

    def signer(self, *, dry: bool = False) -> Any:
        """The identity, with a credential where the spec has one; a ``dry`` one uses no key and asks nobody."""
        import c2pa

        identity, credential, job = self.identity, self.spec.credential, self.job
        algorithm = getattr(c2pa.C2paSigningAlg, identity.algorithm.upper())
        sign = _empty_signature(identity.algorithm) if dry else job.sign
        tsa_url = None if dry else self.tsa_url
        signer = c2pa.Signer.from_callback(sign, algorithm, identity.chain_pem, tsa_url)
        if credential:
            present = {one["label"] for one in self.definition["assertions"]}
            vouched = [label for label in REFERENCED if label in present]
            vouch = _empty_signature(credential.algorithm) if dry else job.guarded(credential.sign)
            signer = with_identity(signer, credential, vouch, vouched)
        return signer

    def __call__(self, media_type: str, binding: dict[str, Any], *, dry: bool = False) -> bytes:
        """A manifest with this binding to the content; a ``dry`` one has the same size, and signatures of zeros."""
        import c2pa

        settings = c2pa.Settings.from_dict(_settings(self.identity))
        with c2pa.Context(settings, self.signer(dry=dry)) as context:
            return signed_box(self.builder(context, binding), media_type)


def _empty_signature(algorithm: str) -> Callable[[bytes], bytes]:
    size = 96 if algorithm == "es384" else 64
    return lambda _: bytes(size)


def with_named_files(spec: ManifestSpec) -> ManifestSpec:
    """With the ingredients and the thumbnail that a c2patool definition names by their paths."""
    if spec.definition is None:
        return spec
    paths, picture = definition_files(spec.definition, spec.definition_folder)
    known = {parent.path for parent in spec.parents}
    parents = [Parent(path, relationship="componentOf") for path in paths if path not in known]
    if spec.relation == Relation.EDITED and parents and not spec.parents:
        # c2patool's convention: the first ingredient of an edit is what was opened
        parents[0] = replace(parents[0], relationship="parentOf")
    data = picture.read_bytes() if picture and spec.thumbnail_data is None else spec.thumbnail_data
    return replace(spec, parents=(*spec.parents, *parents), thumbnail_data=data)


def _with_own_parent(source: Path, spec: ManifestSpec, carries: bool) -> ManifestSpec:
    """A source that carries a manifest already becomes its own parent."""
    opened = _opened(spec)
    if opened is not None:
        edited = spec.relation == Relation.EDITED or (
            spec.relation == Relation.SYNTHETIC and not says_synthetic(spec)
        )
        unnamed = edited and not spec.actions and spec.definition is None
        if unnamed and not _same_content(source, opened.path):
            # something was done that nobody named; "opened" alone would say that nothing was
            return replace(spec, actions=(Action("c2pa.edited"),))
        return spec
    if not carries:
        return spec
    relation = Relation.EDITED if spec.relation == Relation.CAPTURED else spec.relation
    return replace(spec, relation=relation, parents=(Parent(source), *spec.parents))


def _opened(spec: ManifestSpec) -> Parent | None:
    return next((parent for parent in spec.parents if parent.relationship == "parentOf"), None)


def _same_content(one: Path, other: Path) -> bool:
    return one.samefile(other) or (
        one.stat().st_size == other.stat().st_size and sha256_file(one) == sha256_file(other)
    )


def carries_manifest(path: Path, media: Format) -> bool:
    """Whether a manifest is embedded, valid or not; nothing is verified."""
    return find_manifest(path, media).place is Place.INSIDE


def _add_ingredient(builder: Any, about: dict[str, Any], parent: Parent, anchor_pem: str) -> None:
    media = detect_format(parent.path, any_file=True)
    about = {**about, "format": media.mime}
    if parent.manifest_data is not None:
        found = side_car_results(parent.path, media.mime, parent.manifest_data, anchors_pem=[anchor_pem])
        about |= {
            "active_manifest": found["active_manifest"],
            "validation_results": found["validation_results"],
        }
        about["manifest_data"] = {"format": _SIDECAR_FORMAT, "identifier": about["label"]}
        builder.add_resource(about["label"], io.BytesIO(parent.manifest_data))
    with parent.path.open("rb") as stream:
        known = parent.manifest_data is not None and parent.path.stat().st_size <= _MAX_REWRITTEN
        if known and find_manifest(parent.path, media).place is Place.REMOTE:
            # c2pa would note that the address was not asked, although the manifest is at hand
            unaddressed = io.BytesIO(stream.read().replace(_ADDRESS, _NO_ADDRESS))
            builder.add_ingredient(json.dumps(about), media.mime, unaddressed)
        else:
            builder.add_ingredient(json.dumps(about), media.mime, stream)


class _Job:
    """What happens inside c2pa's callbacks, which swallow every exception: the reason is kept here."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.signed = False
        self.failure: BaseException | None = None

    def sign(self, data: bytes) -> bytes:
        """The signature, or nothing where it failed; c2pa then gives up."""
        signature = self.guarded(self.identity.sign)(data)
        self.signed = bool(signature)
        return signature

    def guarded(self, sign: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
        """The same function, which keeps the reason of a failure and then returns nothing."""

        def call(data: bytes) -> bytes:
            try:
                return sign(data)
            except BaseException as error:
                self.failure = error
                return b""

        return call


class _Output(io.FileIO):
    """The file that c2pa writes; a full disk is noted, and nothing is written by halves."""

    def __init__(self, path: Path, job: _Job) -> None:
        super().__init__(path, "w+b")
        self.job = job

    def write(self, data: Any) -> int:
        view = memoryview(data)
        try:
            while view:
                view = view[super().write(view) or 0 :]
        except OSError as error:
            self.job.failure = error
            raise
        return len(data)


def _check_means(identity: Identity, tsa_url: str | None) -> None:
    """IdentityError for a certificate that is not valid now, UsageError for a strange authority."""
    for fault in find_faults(list(identity.chain)):
        if fault.requirement == "validity":
            raise IdentityError(f"identity {identity.name!r} cannot sign now: {fault}", hint=fault.remedy)
    if tsa_url and not tsa_url.startswith(("http://", "https://")):
        raise UsageError(
            f"{tsa_url[:200]!r} is no address of a time-stamp authority", hint="give an http(s) URL"
        )


def _settings(identity: Identity) -> dict[str, Any]:
    """c2pa settings for signing: no thumbnails but ours, no network, our own root for own ingredients."""
    return {
        "version": 1,
        "core": {"backing_store_memory_threshold_in_mb": MEMORY_MB},
        # c2pa would also make thumbnails of what the file was made from, clean faces included
        "builder": {"thumbnail": {"enabled": False}},
        "verify": {"verify_after_sign": False, "remote_manifest_fetch": False, "ocsp_fetch": False},
        "trust": Anchors.of([certificates.to_pem([identity.root])]).settings(),
    }


def _explained(error: Exception, job: _Job, source: Path, output: Path, tsa_url: str | None) -> BaseException:
    """Say what c2pa's error means."""
    identity = job.identity
    if isinstance(job.failure, VeilmarkError | KeyboardInterrupt):
        return job.failure
    if isinstance(job.failure, OSError):
        return NotWritableError(f"cannot write {output}: {job.failure.strerror or job.failure}")
    if job.failure is not None:
        return IdentityError(f"signing with identity {identity.name!r} failed: {job.failure}")
    text = certificates.printable(str(error), 300)
    if any(word in text for word in ("CoseInvalidCert", "certificate", "Certificate", "SigningCredential")):
        faults = find_faults(list(identity.chain))
        if faults:
            return IdentityError(f"the certificate cannot sign: {faults[0]}", hint=faults[0].remedy)
    if tsa_url and job.signed and ("Signature" in text or "ime" in text):
        return CheckError(
            f"no time stamp from {certificates.printable(tsa_url)}: {text}",
            hint="check the URL and the network",
        )
    hint = "name its fragments with --fragments" if "Bad BMFF" in text else ""
    return CorruptMediaError(f"{source} cannot be signed: {text}", hint=hint)
