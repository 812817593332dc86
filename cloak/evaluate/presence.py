"""Which detectors a cloak is made against, which only judge it, and which known ones are not here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path

from cloak import models
from cloak.detectors import DETECTORS, available, info
from cloak.options import CloakOptions
from provenance.errors import UsageError

#: Families whose detectors take longest; a fast search leaves them out.
_SLOW_FAMILIES = ("cascade", "centerface", "hog", "mmod", "ssd")
#: Where one family alone is asked, the first of these that is here says, too, what is a face.
_WITNESSES = ("centerface", "mtcnn")
#: The package that brings a module, where its name is another one.
_PACKAGES = {"dlib": "dlib-bin", "cv2": "opencv-python-headless"}
#: More commands than this are not spelled out.
_FEW_COMMANDS = 3


def chosen_detectors(options: CloakOptions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the detectors to hide from, by default all that are here, and of those that only judge. Those that a
    person brings as files are not among them.

    Raises:
        UsageError: an unknown name, or a detector that cannot be attacked.
    """
    attacked = options.detectors or tuple(available(options.weights, differentiable=True))
    if options.fast and not options.detectors:
        attacked = tuple(name for name in attacked if info(name).family not in _SLOW_FAMILIES) or attacked
    for name in attacked:
        if not info(name).differentiable:
            raise UsageError(
                f"{name} cannot be attacked, it only judges", hint="leave it out of the detectors"
            )
    # where nothing is installed, the loader's own message says which weights are missing
    attacked = tuple(dict.fromkeys(attacked or ("mtcnn",)))
    judging = options.judges
    if judging is None:
        judging = tuple(available(options.weights))
        if options.fast:
            families = {info(name).family for name in attacked}
            judging = () if len(families) > 1 else tuple(name for name in _WITNESSES if name in judging)[:1]
    return attacked, tuple(info(name).name for name in dict.fromkeys(judging) if name not in attacked)


def missing_detectors(weights_dir: Path | None = None) -> dict[str, tuple[str, ...]]:
    """By name, the known detectors that cannot be loaded here, and the commands that bring each.

    Args:
        weights_dir: a folder to look in besides the installed carriers and veilmark's own.
    """
    present = set(available(weights_dir))
    result: dict[str, tuple[str, ...]] = {}
    for known in DETECTORS:
        if known.name in present:
            continue
        commands = [
            models.model(name).command
            for name in known.models
            if models.locate(models.model(name), weights_dir) is None
        ]
        if known.package and importlib.util.find_spec(known.package) is None:
            commands.append(f"pip install {_PACKAGES.get(known.package, known.package)}")
        result[known.name] = tuple(dict.fromkeys(commands))
    return result


def commands_text(commands: Iterable[str]) -> str:
    """Commands for a sentence, each between backquotes; of many, the one that lists them all."""
    different = list(dict.fromkeys(commands))
    if len(different) > _FEW_COMMANDS:
        return "`veilmark models` says how to bring them"
    return ", ".join(f"`{command}`" for command in different)


def who_looks(
    attacked: Sequence[str], judging: Sequence[str], missing: dict[str, tuple[str, ...]] | None = None
) -> str:
    """One sentence that says whom a cloak works against, before it is made.

    Args:
        attacked, judging: names of detectors.
        missing: from :func:`missing_detectors`; those that are asked all the same are left out.
    """
    parts = ["works against " + (", ".join(_grouped(attacked)) or "no detector")]
    if judging:
        parts.append(", ".join(_grouped(judging)) + f" only judge{'s' * (len(judging) == 1)}")
    absent = {
        name: commands for name, commands in (missing or {}).items() if name not in {*attacked, *judging}
    }
    if absent:
        commands = [command for each in absent.values() for command in each]
        parts.append(f"not here: {', '.join(_grouped(absent))} ({commands_text(commands)})")
    return "; ".join(parts)


def _grouped(names: Iterable[str]) -> list[str]:
    """Names of which several begin alike are joined: ``blazeface-short/back/full``."""
    groups: dict[str, list[str]] = {}
    for name in names:
        head, _, variant = name.rpartition("-")
        groups.setdefault(head or name, []).append(variant if head else "")
    return [head + ("-" + "/".join(variants) if any(variants) else "") for head, variants in groups.items()]
