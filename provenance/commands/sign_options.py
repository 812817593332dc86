"""The options of ``veilmark sign``, in groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from provenance.commands.support.workers import Cluster
from provenance.errors import MissingPathError, UsageError
from provenance.media.formats import SIDECAR_SUFFIX

if TYPE_CHECKING:
    from provenance.identity.credential import IdentityCredential
    from provenance.manifest.embed import ManifestSpec, Parent


@dataclass(frozen=True)
class OutputOptions:
    """Where signed files go."""

    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="A file for one input, else a folder. Default: NAME.signed.EXT."),
    ] = None
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace the input by the signed file.")] = (
        False
    )
    force: Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")] = False
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Skip inputs whose output is there; write what is missing beside it."),
    ] = False
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Files signed at the same time.")] = 1
    cluster: Cluster = None

    def __post_init__(self) -> None:
        if self.in_place and self.output:
            raise UsageError("--in-place and -o exclude each other", hint="give one of them")


@dataclass(frozen=True)
class StatementOptions:
    """What the manifest says."""

    title: Annotated[str | None, typer.Option(help="Title in the manifest. Default: the output's name.")] = (
        None
    )
    author: Annotated[str | None, typer.Option(help="Author, published in the manifest.")] = None
    description: Annotated[str | None, typer.Option(help="Description, published in the manifest.")] = None
    parent: Annotated[
        list[Path] | None, typer.Option("--parent", help="The file this one was edited from. Repeatable.")
    ] = None
    ingredient: Annotated[
        list[str] | None,
        typer.Option(
            "--ingredient",
            help="FILE[:componentOf|inputTo|parentOf]: a file that went into it. Default: componentOf. Repeatable.",
        ),
    ] = None
    update: Annotated[
        bool,
        typer.Option("--update", help="Say more about a signed file that stays as it is (update manifest)."),
    ] = False
    redact: Annotated[
        list[str] | None,
        typer.Option(
            "--redact", help="Take this assertion out of the parent's manifest (c2pa.metadata). Repeatable."
        ),
    ] = None
    redact_reason: Annotated[str, typer.Option("--redact-reason", help="Why, as C2PA names it.")] = (
        "c2pa.PII.present"
    )
    action: Annotated[
        list[str] | None, typer.Option("--action", help="A C2PA action, such as c2pa.cropped. Repeatable.")
    ] = None
    source_type: Annotated[
        str | None, typer.Option(help="IPTC digital source type. Default: digitalCapture.")
    ] = None
    captured_at: Annotated[
        str | None, typer.Option(help="When it was captured (RFC 3339), by the device's clock.")
    ] = None
    device: Annotated[str | None, typer.Option(help="Capture device, published in the manifest.")] = None
    location: Annotated[
        str | None, typer.Option(help="LATITUDE,LONGITUDE, published in the manifest. Off unless given.")
    ] = None
    allow_training: Annotated[
        bool,
        typer.Option("--allow-training", help="Allow AI training and data mining (default: not allowed)."),
    ] = False
    thumbnail: Annotated[
        bool, typer.Option("--thumbnail", help="Embed a thumbnail in the manifest (slower).")
    ] = False
    identity_cert: Annotated[
        Path | None,
        typer.Option(
            "--identity-cert", help="Name a person or organization too (CAWG): certificate chain, PEM."
        ),
    ] = None
    identity_key: Annotated[
        Path | None, typer.Option("--identity-key", help="The private key of --identity-cert, PEM.")
    ] = None
    manifest: Annotated[
        Path | None,
        typer.Option("-m", "--manifest", help="A manifest definition as c2patool takes it (JSON)."),
    ] = None

    def spec(self) -> ManifestSpec:
        """What is asked for, checked as far as no file is needed; UsageError, MissingPathError."""
        from provenance.manifest.definition import load_definition
        from provenance.manifest.embed import Action, ManifestSpec, Parent
        from provenance.record import Relation

        parents = (*_parents(self.parent or [], Parent), *_ingredients(self.ingredient or [], Parent))
        opened = any(one.relationship == "parentOf" for one in parents)
        return ManifestSpec(
            relation=Relation.EDITED if opened else Relation.CAPTURED,
            title=self.title or "",
            author=self.author or "",
            description=self.description or "",
            parents=parents,
            actions=tuple(Action(name) for name in self.action or ()),
            device=self.device or "",
            captured_at=self.captured_at or "",
            location=parse_location(self.location) if self.location else None,
            digital_source_type=self.source_type or "",
            allow_training=self.allow_training,
            thumbnail=self.thumbnail,
            credential=_credential(self.identity_cert, self.identity_key),
            redactions=tuple(self.redact or ()),
            redaction_reason=self.redact_reason,
            update=self.update,
            definition=load_definition(self.manifest) if self.manifest else None,
            definition_folder=self.manifest.parent if self.manifest else None,
        )


@dataclass(frozen=True)
class SigningOptions:
    """Who signs, and how."""

    identity: Annotated[str | None, typer.Option(help="Which identity signs. Default: the first made.")] = (
        None
    )
    remote_url: Annotated[
        str | None,
        typer.Option(
            "--remote-url",
            help="Put this address into the file, and its manifest beside it, ready to be put there. "
            "After a slash at the end comes the output's name and .c2pa.",
        ),
    ] = None
    fragments: Annotated[
        list[str] | None,
        typer.Option(
            "--fragments",
            help="The input starts a film in fragments (DASH, HLS): these, 'seg*.m4s'. Needs -o FOLDER.",
        ),
    ] = None
    tsa: Annotated[str | None, typer.Option("--tsa", help="RFC 3161 time-stamp authority to ask (URL).")] = (
        None
    )
    online: Annotated[
        bool, typer.Option("--online", help="Fetch a manifest from the address that a file names.")
    ] = False
    any_file: Annotated[
        bool, typer.Option("--any-file", help="Sign files of unknown format too, with a side-car.")
    ] = False
    receipt: Annotated[
        bool, typer.Option(help="Write FILE.receipt beside the output; it is kept in the store anyway.")
    ] = True
    discoverable: Annotated[
        bool,
        typer.Option(
            "--discoverable", help="Let others find the record on a service of this ledger: makes it public."
        ),
    ] = False

    def address(self, target: Path) -> str:
        """Where the manifest of an output will lie; empty: inside it."""
        if not self.remote_url or not self.remote_url.endswith("/"):
            return self.remote_url or ""
        from urllib.parse import quote

        return f"{self.remote_url}{quote(target.name)}{SIDECAR_SUFFIX}"


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
