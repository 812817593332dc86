"""Options that several commands of synth have, declared once, and the groups of them that commands take as values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from provenance.commands.support.console import fraction
from provenance.errors import UsageError
from provenance.home import Home

if TYPE_CHECKING:
    from synth.consent.permission import Permission

Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite an output that exists.")]
IdentityName = Annotated[str | None, typer.Option(help="Which identity signs. Default: the first made.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Online = Annotated[bool, typer.Option("--online", help="Fetch manifests that lie at a URL.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of every random choice.")]
WeightsFolder = Annotated[
    Path | None, typer.Option("--weights", help="A folder with weights to look in first.")
]


@dataclass(frozen=True)
class ConsentGroup:
    """On which basis footage may be used."""

    consent: Annotated[
        list[Path] | None,
        typer.Option("--consent", help="A statement of consent by the footage's owner. Repeatable."),
    ] = None
    i_have_consent: Annotated[
        bool,
        typer.Option(
            "--i-have-consent",
            help="Declare that the people shown agreed; opens only footage that nobody signed, and is said in the "
            "result.",
        ),
    ] = False

    @property
    def statements(self) -> tuple[Path, ...]:
        return tuple(self.consent or ())

    def permission(self, paths: list[Path], *, online: bool = False) -> Permission:
        """Why the footage may be used; ConsentError where it may not."""
        from provenance.commands.support.secrets import passphrase_for
        from synth.consent.permission import permission_for
        from synth.consent.statement import read_statement

        home = Home.locate()
        statements = [read_statement(path) for path in self.statements]
        with fraction("Asking for consent") as report:
            return permission_for(
                paths,
                home,
                statements=statements,
                declared=self.i_have_consent,
                passphrase=lambda name: passphrase_for(home, name),
                online=online,
                progress=report,
            )


@dataclass(frozen=True)
class GenerateGroup:
    """What the generators have in common: `veilmark synth swap` and `lipsync`."""

    visible_mark: Annotated[
        bool,
        typer.Option("--visible-mark/--no-visible-mark", help="The word SYNTHETIC; the signed label stays."),
    ] = True
    weights: WeightsFolder = None
    device: Device = "cpu"
    online: Online = False
    identity: IdentityName = None
    force: Force = False
    as_json: Json = False


@dataclass(frozen=True)
class ExperimentGroup:
    """What the experiments with a generator have in common: `veilmark measure swap` and `lipsync`."""

    against: Annotated[
        str | None,
        typer.Option(
            "--detectors",
            help="Detectors the cloak is made against. Default: all that can be attacked, less the families that "
            "`naive` and `other:` look with.",
        ),
    ] = None
    veil: Annotated[
        str | None,
        typer.Option(help="What the cloak looks like, comma-separated: film, film-bw, light, noise."),
    ] = None
    cloak_seeds: Annotated[
        str | None,
        typer.Option(help="Of the cloak, comma-separated; each is reported for itself. Default: 0,1."),
    ] = None
    minutes: Annotated[
        float | None,
        typer.Option(min=0.1, help="Stop after so many, and report what is finished; run again, it goes on."),
    ] = None
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what would be done, and how long it takes.")
    ] = False
    identity: IdentityName = None

    @property
    def attacked(self) -> tuple[str, ...] | None:
        """Names of the detectors, or None for the default."""
        return names_of(self.against) if self.against is not None else None

    @property
    def cloaks(self) -> dict[str, Any]:
        """What was asked of the cloaks, as options of the experiment."""
        asked: dict[str, Any] = {}
        if self.veil is not None:
            asked["veils"] = names_of(self.veil)
        if self.cloak_seeds is not None:
            try:
                asked["cloak_seeds"] = tuple(int(one) for one in names_of(self.cloak_seeds))
            except ValueError:
                raise UsageError(
                    f"{self.cloak_seeds[:60]!r} is no list of numbers", hint="give, say, --cloak-seeds 0,1"
                ) from None
        return asked


@dataclass(frozen=True)
class MeasureGroup:
    """What all measurements have in common."""

    weights: WeightsFolder = None
    device: Device = "cpu"
    no_pictures: Annotated[
        bool,
        typer.Option(
            "--no-pictures",
            help="Leave pictures out of the report, so that it shows nobody and may be shared.",
        ),
    ] = False
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole result as one JSON object.")] = (
        False
    )


ReportFolder = Annotated[
    Path,
    typer.Option(
        "-o", "--output", help="A folder for report.html and report.json; run again, it goes on there."
    ),
]


def names_of(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list, each once."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
