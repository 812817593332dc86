"""The C2PA's trust lists that travel with veilmark: data with a date, off until somebody adds them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from provenance.trust.anchors import Purpose

_FOLDER = "published"
_SOURCE = "https://raw.githubusercontent.com/c2pa-org/conformance-public/main/trust-list/"


@dataclass(frozen=True)
class ShippedList:
    """A list in this package.

    Attributes:
        name: how its entry is called.
        url: where its publisher keeps the present issue.
        licence: under which it is passed on.
    """

    name: str
    purpose: Purpose
    file: str
    licence: str = "CC BY 4.0"

    @property
    def url(self) -> str:
        return _SOURCE + self.file

    def text(self) -> str:
        """The list as it was published."""
        return files(__package__).joinpath(_FOLDER, self.file).read_text(encoding="utf-8")


#: What a name after ``trust add --list`` stands for.
SHIPPED = {
    "c2pa": (
        ShippedList("c2pa", Purpose.SIGNERS, "C2PA-TRUST-LIST.json"),
        ShippedList("c2pa-tsa", Purpose.TIME_STAMPS, "C2PA-TSA-TRUST-LIST.json"),
    ),
}
