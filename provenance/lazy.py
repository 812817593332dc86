"""What is loaded or computed when it is first used: names that a package exports, and values of an object."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from importlib import import_module
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")


class unlocked_property(cached_property[T]):
    """A ``cached_property`` whose computing keeps no other object waiting.

    That of Python 3.11 holds one lock for the attribute in all objects, so that workers would compute in turn. Asked by
    two threads at once, one object may compute twice.
    """

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type[Any] | None = None) -> Self | T:
        if instance is None:
            return self
        values, name = vars(instance), self.attrname or ""
        if name not in values:
            values[name] = self.func(instance)
        kept: T = values[name]
        return kept


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
