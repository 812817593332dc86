"""torchattacks' attacks, through one adapter.

torchattacks attacks classifiers: pictures in, one row of logits each out. :class:`FaceClassifier` makes one of
detectors: class 0 is "no face" with a logit of 0, class 1 is "a face" with the log-sum-exp of the detectors'
face logits around the faces. What an attack returns is clipped to the budget again here, whatever norm the
attack itself keeps to.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cloak.attack.budget import project, to_grey
from cloak.attack.conditions import Condition
from cloak.attack.evaluation import evaluate_noise
from cloak.attack.task import SearchResult, Task
from cloak.detectors.base import FaceDetector
from cloak.detectors.geometry.boxes import overlaps
from cloak.detectors.geometry.matching import centres_inside, expand_boxes
from provenance.errors import UsageError


@dataclass(frozen=True)
class _AttackSpec:
    """How an attack of torchattacks is told the budget.

    Attributes:
        epsilon: the parameter that takes the L-infinity budget; None for attacks in another norm.
        classes: how many logits the attack needs; those beyond the two are far below both.
        extra: further arguments.
    """

    epsilon: str | None = "eps"
    classes: int = 2
    extra: tuple[tuple[str, Any], ...] = ()


_SIGNED_GRADIENT = (
    "FGSM",
    "BIM",
    "RFGSM",
    "PGD",
    "EOTPGD",
    "FFGSM",
    "TPGD",
    "MIFGSM",
    "UPGD",
    "APGD",
    "DIFGSM",
    "TIFGSM",
    "Jitter",
    "NIFGSM",
    "SINIFGSM",
    "VMIFGSM",
    "VNIFGSM",
)
# few rounds of its own search for a constant: the budget is not met by it anyway
_ELASTIC_NET = (("binary_search_steps", 2), ("initial_const", 100.0), ("beta", 0.0001), ("lr", 0.02))
_TARGETED = (("n_classes", 4),)
#: The attacks that follow gradients. Those that only ask for scores (Square, SPSA, OnePixel, Pixle) need
#: thousands of looks, and L0 attacks leave the budget; neither is offered.
ATTACKS: dict[str, _AttackSpec] = {
    **dict.fromkeys(_SIGNED_GRADIENT, _AttackSpec()),
    "APGDT": _AttackSpec(classes=4, extra=_TARGETED),
    "PGDRS": _AttackSpec(extra=(("noise_sd", 0.03),)),
    "PIFGSM": _AttackSpec(epsilon="max_epsilon"),
    "PIFGSMPP": _AttackSpec(epsilon="max_epsilon"),
    "CW": _AttackSpec(epsilon=None, extra=(("c", 20), ("lr", 0.02))),
    "PGDL2": _AttackSpec(epsilon=None, extra=(("eps", 6.0), ("alpha", 1.0))),
    "PGDRSL2": _AttackSpec(epsilon=None, extra=(("eps", 6.0), ("alpha", 1.0), ("noise_sd", 0.03))),
    "DeepFool": _AttackSpec(epsilon=None),
    "EADEN": _AttackSpec(epsilon=None, extra=_ELASTIC_NET),
    "EADL1": _AttackSpec(epsilon=None, extra=_ELASTIC_NET),
    "FAB": _AttackSpec(extra=(("n_classes", 2),)),
}


class FaceClassifier(nn.Module):
    """Detectors as one classifier with the logits (0, log-sum-exp of the face logits around the faces).

    Candidates of every stage of a cascade count, as far as they lie on a face.

    Args:
        detectors: at least one.
        faces: ``(N, 4)`` in pixels of the pictures that will come.
        classes: number of logits; those beyond the first two are -30 and never win.
    """

    def __init__(self, detectors: Sequence[FaceDetector], faces: Tensor, classes: int = 2) -> None:
        super().__init__()
        self.detectors = list(detectors)
        self.faces = faces
        self.classes = classes
        # torchattacks asks the first parameter for the device
        self.anchor = nn.Parameter(torch.zeros(1, device=faces.device), requires_grad=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """``(B, 3, H, W)`` in [0, 1] to ``(B, classes)``."""
        rows = []
        focus = [self.faces] * len(pictures)
        per_detector = [detector.candidates(pictures, focus) for detector in self.detectors]
        for number in range(len(pictures)):
            terms = []
            for candidates in (entries[number] for entries in per_detector):
                near = (centres_inside(candidates.boxes, expand_boxes(self.faces, 0.25))).any(1)
                early = (overlaps(candidates.boxes, self.faces) >= 0.2).any(1)
                counts = torch.where(candidates.final_stage, near, early)
                if bool(counts.any()):
                    terms.append(candidates.logits[counts])
            blank = pictures[number].sum() * 0
            face = torch.logsumexp(torch.cat(terms), 0) if terms else blank - 30
            rest = [blank - 30] * (self.classes - 2)
            rows.append(torch.stack([blank, face, *rest]))
        return torch.stack(rows)


def run_torchattack(
    name: str,
    task: Task,
    detectors: Sequence[FaceDetector],
    conditions: Sequence[Condition],
    *,
    steps: int = 40,
    seed: int = 0,
) -> SearchResult:
    """Run one attack of torchattacks on a patch.

    Args:
        name: as torchattacks calls it, for example ``PGD``; see :data:`ATTACKS`.
        task: the patch; its landmarks and decoy zones are not used.
        detectors: what to fool.
        conditions: conditions by which the result is judged; the attack knows nothing of them.
        steps: passed on where the attack takes a number of steps.
        seed: of torch's generator while the attack runs.

    Raises:
        UsageError: torchattacks has no such gradient attack.
    """
    by_lower_name = {known.lower(): known for known in ATTACKS}
    if name.lower() not in by_lower_name:
        raise UsageError(
            f"{name!r} is not a gradient attack of torchattacks", hint=f"choose one of {', '.join(ATTACKS)}"
        )
    import torchattacks

    name = by_lower_name[name.lower()]
    spec = ATTACKS[name]
    attack_class = getattr(torchattacks, name)
    budget = float(task.limit.max())
    parameters = inspect.signature(attack_class).parameters
    arguments: dict[str, Any] = dict(spec.extra)
    if spec.epsilon:
        arguments[spec.epsilon] = budget
    for parameter in ("steps", "max_iterations"):
        if parameter in parameters:
            arguments[parameter] = steps
    if "alpha" in parameters and "alpha" not in arguments and spec.epsilon:
        arguments["alpha"] = budget if name == "FFGSM" else budget / 6
    model = FaceClassifier(detectors, task.faces, spec.classes)
    label = torch.ones(len(task.clean), dtype=torch.long, device=task.clean.device)
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(io.StringIO()):
        torch.manual_seed(seed)
        attacked = attack_class(model, **arguments)(task.clean, label)
    noise = torch.nan_to_num(attacked.detach() - task.clean)
    if task.grey:
        noise = to_grey(noise)
    noise = project(noise, task.clean, task.limit)
    return SearchResult(noise, evaluate_noise(task, noise, detectors, conditions), steps)
