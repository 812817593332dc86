"""Which code computed something: results of other code are not taken for this one's."""

from __future__ import annotations

import hashlib
import importlib.util
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=8)
def code_of(*packages: str) -> str:
    """SHA-256 of the source of packages and of those in them, by path and content: ``cloak``, ``synth.swap``.

    Raises:
        ModuleNotFoundError: there is no package of that name.
    """
    whole = hashlib.sha256()
    for name in packages:
        found = importlib.util.find_spec(name)
        if found is None or not found.submodule_search_locations:
            raise ModuleNotFoundError(f"{name} is no package")
        folder = Path(found.submodule_search_locations[0])
        for path in sorted(folder.rglob("*.py")):
            whole.update(path.relative_to(folder).as_posix().encode() + b"\0")
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


@lru_cache(maxsize=8)
def code_of_module(name: str) -> str:
    """SHA-256 of the source of one module: ``synth.measure.split``.

    Raises:
        ModuleNotFoundError: there is no module of that name, or it is a package.
    """
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None or found.submodule_search_locations is not None:
        raise ModuleNotFoundError(f"{name} is no module")
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()
