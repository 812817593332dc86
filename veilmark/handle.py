"""What every part of the API works with: this machine's state, opened when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from provenance.home import Home
from veilmark.choices import StrPath

if TYPE_CHECKING:
    from types import TracebackType

    from provenance.session import Session
    from provenance.trust.store import TrustStore

Progress = Callable[[float], None]


class Handle:
    """An identity, a ledger and a trust store. Not to be shared between threads."""

    def __init__(self, home: Home, *, identity: str | None = None, passphrase: str | None = None) -> None:
        self.home = home
        self._identity, self._passphrase = identity, passphrase
        self._stack = ExitStack()
        self._opened: Session | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the ledger. A method that is called later opens it again."""
        self._opened = None
        self._stack.close()

    def _session(self) -> Session:
        if self._opened is None:
            from provenance.session import open_session

            self._opened = self._stack.enter_context(
                open_session(self.home, identity=self._identity, passphrase=self._passphrase)
            )
        return self._opened

    def _unlock(self) -> str | None:
        return self._passphrase

    def _trust(self) -> TrustStore:
        from provenance.trust.store import TrustStore

        return TrustStore.load(self.home)


def as_path(path: StrPath | None) -> Path | None:
    return Path(path) if path is not None else None


def beside(path: Path, marker: str) -> Path:
    return path.with_name(f"{path.stem}.{marker}{path.suffix}")


def usable(name: str) -> str:
    from cloak.device import usable_device

    return usable_device(name)


def known_options(kind: type[Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name, as the dataclass that holds them takes them.

    Raises:
        UsageError: there is no such option, or no such device here.
    """
    from dataclasses import fields

    from provenance.errors import UsageError

    names = [one.name for one in fields(kind)]
    if unknown := sorted(set(given) - set(names)):
        raise UsageError(
            f"no option is called {', '.join(unknown)[:100]!r}", hint="one of " + ", ".join(names)
        )
    taken: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
    }
    if taken.get("weights") is not None:
        taken["weights"] = Path(taken["weights"])
    if "device" in taken:
        taken["device"] = usable(taken["device"])
    return taken
