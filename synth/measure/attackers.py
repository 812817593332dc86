"""What somebody does with published footage before training a generator on it."""

from __future__ import annotations

from dataclasses import dataclass

from cloak import detectors as detector_list
from provenance.errors import UsageError
from synth.extraction.finder import DEFAULT_DETECTORS
from synth.measure.conditions import CLEANING, Cleaning, Treatment

#: Detector families whose landmarks begin with the eyes, so that faces can be extracted with them.
WITH_EYES = ("blazeface", "centerface", "cascade", "retinaface")


@dataclass(frozen=True)
class Attacker:
    """One way of preparing the data.

    Attributes:
        name: ``naive``, ``cleans:jpeg|blur|denoise|resize``, ``other:DETECTOR`` or ``mixes:PERCENT``.
        cleaning: applied to each frame first, or None.
        detectors: asked in turn until one finds a face.
        share: of clean data that is mixed in, 0 to 1.
    """

    name: str
    cleaning: Cleaning | None = None
    detectors: tuple[str, ...] = DEFAULT_DETECTORS
    share: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Attacker:
        """The attacker of a name.

        Raises:
            UsageError: unknown name.
        """
        kind, _, detail = text.partition(":")
        if kind == "naive" and not detail:
            return cls("naive")
        if kind == "cleans" and detail in CLEANING:
            return cls(text, cleaning=Cleaning(detail))
        if kind == "other" and detail:
            if detector_list.info(detail).family not in WITH_EYES:
                raise UsageError(
                    f"{detail} does not report where the eyes are", hint="name mtcnn or a retinaface"
                )
            return cls(text, detectors=(detail,))
        if kind == "mixes" and detail.isdecimal() and 0 <= int(detail) <= 100:
            return cls(text, share=int(detail) / 100)
        raise UsageError(
            f"unknown attacker {text[:60]!r}",
            hint=f"naive, cleans:{'|'.join(CLEANING)}, other:DETECTOR or mixes:0..100",
        )

    @property
    def treat(self) -> Treatment:
        """The function that each frame goes through."""
        return CLEANING[self.cleaning] if self.cleaning else lambda pixels: pixels

    @property
    def sentence(self) -> str:
        """The attacker in words, to follow "an attacker who"."""
        if self.cleaning:
            return f"cleans the data first ({self.cleaning})"
        if self.share:
            return f"has {100 * self.share:.0f} % of the data clean"
        if self.detectors != DEFAULT_DETECTORS:
            return f"extracts faces with {self.detectors[0]} instead"
        return "takes the data as published"
