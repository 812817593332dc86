"""Take out of a file what its manifest holds: thumbnails, and the manifest store itself."""

from __future__ import annotations

import io
import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provenance.errors import CheckError, NoCredentialError
from provenance.identity.certificates import printable
from provenance.interrupt import uninterrupted
from provenance.manifest.read import MAX_MANIFEST_BYTES, Limited, read_manifest

_MAX_PARTS = 500


@dataclass(frozen=True)
class Part:
    """Something that a manifest holds.

    Attributes:
        name: a file name, safe to write, unique among the parts of one file.
        title: what it belongs to.
        data: its bytes.
    """

    name: str
    title: str
    data: bytes = field(repr=False)


def extract_parts(path: Path, mime: str, *, manifest_data: bytes | None = None) -> list[Part]:
    """The manifest store, and the thumbnails of the file and of everything it was made from.

    Nothing here says that the manifest is valid; ask :func:`provenance.manifest.read.read_manifest` for that.

    Raises:
        NoCredentialError: the file has no manifest.
        CheckError: the parts are over the limit on count or size.
    """
    report = read_manifest(path, mime, anchors_pem=(), manifest_data=manifest_data)
    if report is None:
        raise NoCredentialError(f"{path} holds no manifest")
    parts = [Part("manifest.c2pa", report.title or path.name, report.manifest_bytes)]
    wanted = [(report.title or path.name, report.thumbnail)] if report.thumbnail else []
    wanted += _thumbnails(report.ingredients)
    seen: set[str] = set()
    for title, uri in wanted:
        if uri in seen:
            continue
        seen.add(uri)
        if len(seen) > _MAX_PARTS:
            raise CheckError(f"{path} holds over {_MAX_PARTS} thumbnails")
        data = extract_resource(path, mime, uri, manifest_data=manifest_data)
        parts.append(Part(f"thumbnail-{len(seen):03d}{_suffix(data)}", title, data))
    return parts


@uninterrupted()
def extract_resource(
    path: Path,
    mime: str,
    uri: str,
    *,
    manifest_data: bytes | None = None,
    max_bytes: int = MAX_MANIFEST_BYTES,
) -> bytes:
    """Bytes of a resource that a manifest names.

    Args:
        uri: a ``thumbnail`` identifier in the report.

    Raises:
        CheckError: there is no such resource, or it is over ``max_bytes``.
    """
    import c2pa

    settings = {"version": 1, "verify": {"verify_after_reading": False, "remote_manifest_fetch": False}}
    buffer = Limited(max_bytes)
    try:
        with (
            path.open("rb") as stream,
            c2pa.Context.from_dict(settings) as context,
            c2pa.Reader(mime, stream, manifest_data, context=context) as reader,
        ):
            reader.resource_to_stream(uri, buffer)
    except (c2pa.C2paError, OSError) as error:
        raise CheckError(f"{path} holds no resource {uri[:200]!r}: {printable(str(error), 300)}") from error
    return buffer.getvalue()


def _thumbnails(ingredients: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Title and identifier of every ingredient's thumbnails, depth first."""
    for ingredient in ingredients:
        if ingredient["thumbnail"]:
            yield ingredient["title"], ingredient["thumbnail"]
        manifest = ingredient["manifest"]
        if manifest:
            if manifest["thumbnail"]:
                yield manifest["title"] or ingredient["title"], manifest["thumbnail"]
            yield from _thumbnails(manifest["ingredients"])


def _suffix(data: bytes) -> str:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF", "AVIF")) as image:
            return mimetypes.guess_extension(Image.MIME.get(image.format or "", "")) or ".bin"
    except Exception:
        return ".bin"
