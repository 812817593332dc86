"""Names that a package exports without importing their modules until one is used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's ``__getattr__``, ``__dir__`` and ``__all__`` (PEP 562), for its ``__init__``::

        if TYPE_CHECKING:  # for type checkers, which do not look into the table
            from house.room import Chair as Chair

        __getattr__, __dir__, __all__ = lazy_exports(__name__, {"Chair": "house.room"})

    Args:
        package: the package's ``__name__``.
        homes: the full name of the module that each exported name is defined in.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(homes[name]), name)

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return load, names, sorted(homes)
