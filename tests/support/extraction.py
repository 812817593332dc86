"""Extractions as the tests make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from provenance.media.files import sha256_file
from synth.extraction import extract_faces
from synth.extraction.footage import open_footage
from synth.extraction.options import ExtractOptions
from synth.extraction.rules import Thresholds
from synth.extraction.run import Extraction

#: A picture that is only turned and shifted is a duplicate of itself once it is aligned, so that rule is off.
UNIQUE = Thresholds(bits=-1)
OPTIONS = ExtractOptions(size=96, detectors=("blazeface-back",), thresholds=UNIQUE)


def declared(footage: Path) -> dict[str, Any]:
    files = [source.path for source in open_footage(footage)]
    return {
        "basis": "declared",
        "files": [{"sha256": sha256_file(one), "basis": "declared"} for one in files],
    }


def extract(footage: Path, folder: Path, options: ExtractOptions = OPTIONS, **more: Any) -> Extraction:
    return extract_faces(footage, folder, declared(footage), options, **more)
