"""What somebody does with published footage before making a fake from it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloak import detectors as detector_list
from provenance.errors import UsageError
from synth.extraction.finder import DEFAULT_DETECTORS
from synth.measure.conditions import CLEANING, Cleaning, Treatment

#: Detectors that a cloak is not made against where somebody naive is measured: modern ones, as tools for fakes use.
MODERN = ("yunet", "faceboxes")
#: Where none of them is installed; its weights come with a package.
_ALWAYS = ("mtcnn",)


@dataclass(frozen=True)
class Attacker:
    """One way of preparing the data. All of them follow the face through the frames in which it was missed.

    Attributes:
        name: ``naive``, ``attacked``, ``cleans:jpeg|blur|denoise|resize|learned``, ``other:DETECTOR``,
            ``mixes:PERCENT`` or ``one-shot``.
        detectors: all of them are asked about each frame.
        cleaning: applied to each frame first, or None.
        share: of clean data that is mixed in, 0 to 1.
        spared: families that the cloak is not made against because of this attacker.
        one_shot: a generator that learned from other footage needs one published picture.
    """

    name: str
    detectors: tuple[str, ...] = DEFAULT_DETECTORS
    cleaning: Cleaning | None = None
    share: float = 0.0
    spared: tuple[str, ...] = ()
    one_shot: bool = False

    @classmethod
    def parse(cls, text: str, weights_dir: Path | None = None) -> Attacker:
        """The attacker of a name.

        Args:
            weights_dir: a folder to look in for weights; which modern detectors are at hand depends on it.

        Raises:
            UsageError: unknown name.
        """
        kind, _, detail = text.partition(":")
        if kind in ("naive", "one-shot") and not detail:
            at_hand = detector_list.available(weights_dir)
            modern = tuple(name for name in MODERN if name in at_hand) or _ALWAYS
            return cls._sparing(kind, modern, one_shot=kind == "one-shot")
        if kind == "attacked" and not detail:
            return cls("attacked")
        if kind == "cleans" and detail in list(Cleaning):
            return cls(text, cleaning=Cleaning(detail))
        if kind == "other" and detail:
            return cls._sparing(text, (detail,))
        if kind == "mixes" and detail.isascii() and detail.isdecimal() and 0 <= int(detail) <= 100:
            return cls(text, share=int(detail) / 100)
        raise UsageError(
            f"unknown attacker {text[:60]!r}",
            hint=f"naive, attacked, cleans:{'|'.join(Cleaning)}, other:DETECTOR, mixes:0..100 or one-shot",
        )

    @classmethod
    def _sparing(cls, name: str, names: tuple[str, ...], *, one_shot: bool = False) -> Attacker:
        families = tuple(dict.fromkeys(detector_list.info(one).family for one in names))
        return cls(name, detectors=names, spared=families, one_shot=one_shot)

    @property
    def treat(self) -> Treatment:
        """The function that each frame goes through."""
        return CLEANING[self.cleaning] if self.cleaning else lambda pixels: pixels

    @property
    def sentence(self) -> str:
        """The attacker in words, to follow "an attacker who"."""
        names = " and ".join(self.detectors)
        if self.one_shot:
            return (
                f"needs one published picture, and looks with {names}, which the cloak was not made against"
            )
        if self.cleaning:
            return f"cleans the data first ({self.cleaning}), and looks with {names}, which the cloak knew"
        if self.share:
            return f"has {100 * self.share:.0f} % of the data clean, and looks with {names}, which the cloak knew"
        if self.spared:
            return f"looks with {names}, which the cloak was not made against"
        return f"looks with {names}, which the cloak was made against"
