"""What a signer states about a file in so many words: program, author, description, device, time and place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from provenance.identity.certificates import printable

#: Facts in the order in which people are told them, and how they are called.
FACTS = {
    "generator": "made with",
    "author": "author",
    "description": "about",
    "device": "device",
    "captured_at": "captured",
    "location": "place",
}
_METADATA = ("c2pa.metadata", "cawg.metadata", "stds.exif", "stds.iptc")
_AUTHORSHIP = "stds.schema-org.CreativeWork"
_KEYS = {
    "dc:creator": "author",
    "dc:description": "description",
    "tiff:make": "maker",
    "exif:make": "maker",
    "tiff:model": "model",
    "exif:model": "model",
    "exif:datetimeoriginal": "captured_at",
    "exif:gpslatitude": "latitude",
    "exif:gpslongitude": "longitude",
}
_MAX_TEXT, _MAX_PARTS = 400, 20


def stated_facts(generator: str, assertions: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, str]:
    """Facts by the names of :data:`FACTS`; only those that are there. Each is a claim, and printable.

    Args:
        generator: the claim generator's name and version.
        assertions: label and content of a manifest's assertions, of C2PA 2 or 1.
    """
    found: dict[str, str] = {}
    for label, data in assertions:
        base = label.split("__")[0]
        if base in _METADATA:
            for key, value in data.items():
                name, text = _KEYS.get(str(key).lower()), _text(value)
                if name and text:
                    found.setdefault(name, text)
        elif base == _AUTHORSHIP:
            authors = data.get("author")
            names = [one.get("name") for one in _listed(authors) if isinstance(one, Mapping)]
            if text := _text(names):
                found.setdefault("author", text)
    maker, model = found.pop("maker", ""), found.pop("model", "")
    latitude, longitude = found.pop("latitude", ""), found.pop("longitude", "")
    found["device"] = model if model.startswith(maker) else f"{maker} {model}".strip()
    found["location"] = f"{latitude}, {longitude}" if latitude and longitude else ""
    found["generator"] = generator
    return {name: found[name] for name in FACTS if found.get(name)}


def _text(value: Any) -> str:
    """Text, or a list of texts, as one line."""
    parts = [str(one) for one in _listed(value) if isinstance(one, str | int | float) and str(one).strip()]
    return printable(", ".join(parts), _MAX_TEXT)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, Mapping) and isinstance(value.get("@list"), list):
        value = value["@list"]
    return value[:_MAX_PARTS] if isinstance(value, list) else [value]
