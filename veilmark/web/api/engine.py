"""What the interface for programs works with: the ledger, its public records and the own look-up, opened once."""

from __future__ import annotations

import threading
from functools import cached_property

from starlette.exceptions import HTTPException

from provenance.errors import NotInitializedError
from provenance.ledger.log import Log
from provenance.ledger.note import VerifierKey
from provenance.ledger.opening import open_ledger
from provenance.ledger.witness import Witness
from provenance.ledger.witnessing import open_witness
from provenance.resolve.public import PublicRecords
from provenance.search.lookup import Lookup
from provenance.trust.store import TrustStore
from veilmark.web.api.metrics import Metrics
from veilmark.web.api.receive import Bench
from veilmark.web.settings import Settings
from veilmark.web.workers import Workers


class Engine:
    """Opens what is needed when it is first needed; thread-safe, as is everything that it gives out.

    Args:
        settings: of the service.
        workers: who looks at files; processes that do so have none themselves.
    """

    def __init__(self, settings: Settings, workers: Workers | None = None) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.bench = Bench(settings.folder / "incoming", settings.limits)
        self._workers = workers
        self._opening = threading.RLock()
        self._trusted: tuple[tuple[int, ...], TrustStore] | None = None

    @property
    def workers(self) -> Workers:
        """Who looks at files."""
        if self._workers is None:
            raise RuntimeError("this engine has nobody who looks at files")
        return self._workers

    @property
    def ledger(self) -> Log:
        """The home's log.

        Raises:
            NotInitializedError: there is none.
        """
        with self._opening:
            return self._ledger

    @property
    def public(self) -> PublicRecords:
        """The records whose owners let others find them.

        Raises:
            HTTPException: 404, where this service answers no look-ups.
        """
        if not self.settings.discoverable:
            raise HTTPException(
                404, "this service answers no look-ups: `discoverable` is off in its settings"
            )
        if not self.settings.home.has_ledger():
            raise HTTPException(404, "this service has no ledger yet")
        with self._opening:
            return self._public

    @property
    def lookup(self) -> Lookup | None:
        """Everything in the own log: for those who may see it all. None where there is no log."""
        if not self.settings.home.has_ledger():
            return None
        with self._opening:
            lookup = self._lookup
        lookup.refresh()
        return lookup

    @property
    def trust(self) -> TrustStore:
        """What the home trusts, read again when its folders changed."""
        folder = self.settings.home.trust
        stamp = tuple(
            place.stat().st_mtime_ns for place in (folder, *sorted(folder.glob("*"))) if place.is_dir()
        )
        with self._opening:
            if self._trusted is None or self._trusted[0] != stamp:
                self._trusted = stamp, TrustStore.load(self.settings.home)
            return self._trusted[1]

    @property
    def witness(self) -> Witness:
        """The witness; the logs that it watches are read from the trust store each time.

        Raises:
            HTTPException: 404, where this service is none.
        """
        if not self.settings.witness:
            raise HTTPException(404, "this service is no witness")
        logs = [VerifierKey.parse(key) for key in self.trust.log_keys.values()]
        with self._opening:
            return open_witness(self.settings.home, self.settings.witness, logs)

    def close(self) -> None:
        """Close files and databases, and end processes."""
        if self._workers is not None:
            self._workers.close()
        for name in ("_public", "_lookup", "_ledger"):
            opened = self.__dict__.pop(name, None)
            if opened is not None:
                opened.close()

    @cached_property
    def _ledger(self) -> Log:
        if not self.settings.home.has_ledger():
            raise NotInitializedError("this service has no ledger yet")
        return open_ledger(self.settings.home)

    @cached_property
    def _public(self) -> PublicRecords:
        return PublicRecords(self.settings.home, self._ledger)

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self.settings.home, self._ledger)
